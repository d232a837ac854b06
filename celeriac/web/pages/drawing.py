"""How a page is answered: a view model, drawn as HTML or told as JSON, with a tag by which nothing new costs nothing.

Rule: a builder reads and returns a frozen view; `page` makes two routes of it, the page and the same with `.json`.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Form, Path, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from celeriac.web.answers import written
from celeriac.web.auth.principal import Principal, Reader

StudyName = Annotated[str, Path(max_length=300)]
ScheduleName = Annotated[str, Path(max_length=200)]
Text = Annotated[str, Form(max_length=500)]
B = TypeVar("B", bound=Callable[..., Any])


def pages() -> APIRouter:
    """A router for pages; what they are is theirs, and stands in no API's document."""
    return APIRouter(include_in_schema=False)


def page(router: APIRouter, path: str, template: str) -> Callable[[B], B]:
    """Make the page and its `.json` of a function that builds its view."""

    def register(build: B) -> B:
        def as_page(request: Request, principal: Reader, view: Annotated[Any, Depends(build)]) -> Response:
            return tagged(request, template, {"view": view, "principal": principal})

        def as_data(request: Request, _: Reader, view: Annotated[Any, Depends(build)]) -> Response:
            return sent(request, data(view))

        data_path = "/index.json" if path == "/" else f"{path}.json"
        router.add_api_route(data_path, as_data, methods=["GET"], response_model=None)
        router.add_api_route(path, as_page, methods=["GET"], response_model=None)
        return build

    return register


def drawn(request: Request, template: str, values: dict[str, Any], status: int = 200) -> HTMLResponse:
    """A template with these values."""
    answer: HTMLResponse = request.app.state.templates.TemplateResponse(request, template, values, status)
    return answer


@dataclass(frozen=True, slots=True)
class Written:
    """An answer's body, made once for all who ask for it."""

    body: bytes
    tag: str
    media_type: str


def data(view: Any) -> Written:
    """A view as JSON, to be sent."""
    body = written(view)
    return Written(body, _tag(body), "application/json")


def part(request: Request, template: str, values: dict[str, Any]) -> Written:
    """A page, or a part of one, to be sent."""
    body = bytes(drawn(request, template, values).body)
    return Written(body, _tag(body), "text/html; charset=utf-8")


def sent(request: Request, found: Written) -> Response:
    """It; nothing but its tag where the asker has it already."""
    if request.headers.get("if-none-match") == found.tag:
        return Response(status_code=304, headers={"ETag": found.tag})
    return Response(found.body, media_type=found.media_type, headers={"ETag": found.tag})


def tagged(request: Request, template: str, values: dict[str, Any]) -> Response:
    """A template with these values; nothing but its tag where the asker has it already."""
    return sent(request, part(request, template, values))


def _tag(body: bytes) -> str:
    return f'W/"{hashlib.sha256(body).hexdigest()[:24]}"'


def back(to: str) -> RedirectResponse:
    """The page that shows what came of a form."""
    return RedirectResponse(to, 303)


def reason_of(principal: Principal, given: str) -> str:
    """A reason with who gave it, for records that have no place for a name."""
    return f"{given.strip()} ({principal.name})" if given.strip() else f"asked for by {principal.name}"
