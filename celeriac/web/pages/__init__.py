"""The board: pages for people, drawn here and sent whole. Each page's data is in a view model of its own, which is also
what the page with `.json` tells.
"""

from fastapi import APIRouter
from starlette.templating import Jinja2Templates

from celeriac.web.pages import (
    comparison,
    fleet,
    following,
    importance,
    morning,
    nights,
    pictures,
    schedules,
    studies,
    study,
    submit,
    trial,
)
from celeriac.web.pages.filters import FILTERS

router = APIRouter()
#: Those below a study come before the study's own page, whose name may hold slashes.
for _each in (
    morning,
    nights,
    comparison,
    studies,
    pictures,
    importance,
    trial,
    following,
    study,
    fleet,
    schedules,
    submit,
):
    router.include_router(_each.router)


def prepare(templates: Jinja2Templates, *, has_flower: bool) -> None:
    """Give templates what the pages' values are written by."""
    templates.env.filters.update(FILTERS)
    templates.env.globals["has_flower"] = has_flower
    templates.env.trim_blocks = templates.env.lstrip_blocks = True
