"""The API, one router a noun, under /api/v1. Rule: it does things by the client and reads by the store; it decides
nothing.
"""

from fastapi import APIRouter

from celeriac.web.api import champions, events, fleet, schedules, studies, submitting, trials

router = APIRouter(prefix="/api/v1")
for _each in (studies, submitting, trials, schedules, champions, fleet, events):
    router.include_router(_each.router)
