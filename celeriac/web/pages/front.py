"""The first page: the newest studies."""

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from celeriac.web.auth.principal import Reader

router = APIRouter(include_in_schema=False)


@router.get("/")
def front(request: Request, principal: Reader) -> HTMLResponse:
    """What there is."""
    values = {"principal": principal, "studies": request.app.state.store.studies(limit=50)}
    page: HTMLResponse = request.app.state.templates.TemplateResponse(request, "front.html", values)
    return page
