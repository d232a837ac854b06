"""The API, one router a noun, under /api/v1. Rule: it does things by the client and reads by the store; it decides
nothing.
"""

from fastapi import APIRouter

from celeriac.web.api import champions, events, fleet, schedules, studies, submitting, trials

router = APIRouter(prefix="/api/v1")
# What is below a study's trial comes before what is below a study: names have slashes.
for _each in (trials, events, submitting, schedules, champions, fleet, studies):
    router.include_router(_each.router)
