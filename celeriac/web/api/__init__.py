"""The API, one router a noun, under /api/v1. Rule: it does things by the client and reads by the store; it decides
nothing.
"""

from fastapi import APIRouter

from celeriac.web.api import fleet, studies, trials

router = APIRouter(prefix="/api/v1")
for _each in (studies, trials, fleet):
    router.include_router(_each.router)
