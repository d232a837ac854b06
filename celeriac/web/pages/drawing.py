"""How a page is answered: a view model, drawn as HTML or told as JSON, with a tag by which nothing new costs nothing.

Rule: a builder reads and returns a frozen view; `page` makes two routes of it, the page and the same with `.json`.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from celeriac.report.plain import plain
from celeriac.web.auth.principal import Principal, Reader

B = TypeVar("B", bound=Callable[..., Any])


def pages() -> APIRouter:
    """A router for pages; what they are is theirs, and stands in no API's document."""
    return APIRouter(include_in_schema=False)


def page(router: APIRouter, path: str, template: str) -> Callable[[B], B]:
    """Make the page and its `.json` of a function that builds its view."""

    def register(build: B) -> B:
        def as_page(request: Request, principal: Reader, view: Annotated[Any, Depends(build)]) -> Response:
            return tagged(request, drawn(request, template, {"view": view, "principal": principal}))

        def as_data(request: Request, _: Reader, view: Annotated[Any, Depends(build)]) -> Response:
            return told(request, view)

        data_path = "/index.json" if path == "/" else f"{path}.json"
        router.add_api_route(data_path, as_data, methods=["GET"], response_model=None)
        router.add_api_route(path, as_page, methods=["GET"], response_model=None)
        return build

    return register


def drawn(request: Request, template: str, values: dict[str, Any], status: int = 200) -> HTMLResponse:
    """A template with these values."""
    answer: HTMLResponse = request.app.state.templates.TemplateResponse(request, template, values, status)
    return answer


def told(request: Request, view: Any) -> Response:
    """A view as JSON."""
    return sent(request, written(view))


@dataclass(frozen=True, slots=True)
class Written:
    """An answer's body, made once for all who ask for it."""

    body: bytes
    tag: str
    media_type: str


def written(view: Any) -> Written:
    """A view as JSON, to be sent."""
    body = json.dumps(plain(view), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return Written(body, _tag(body), "application/json")


def part(request: Request, template: str, values: dict[str, Any]) -> Written:
    """A part of a page that is the same for everybody, to be sent."""
    body = bytes(drawn(request, template, values).body)
    return Written(body, _tag(body), "text/html; charset=utf-8")


def sent(request: Request, found: Written) -> Response:
    """It; nothing but its tag where the asker has it already."""
    if request.headers.get("if-none-match") == found.tag:
        return Response(status_code=304, headers={"ETag": found.tag})
    return Response(found.body, media_type=found.media_type, headers={"ETag": found.tag})


def tagged(request: Request, answer: Response) -> Response:
    """The answer with its ETag; nothing but the tag where the asker has it already."""
    tag = _tag(bytes(answer.body))
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    answer.headers["ETag"] = tag
    return answer


def _tag(body: bytes) -> str:
    return f'W/"{hashlib.sha256(body).hexdigest()[:24]}"'


def back(to: str) -> RedirectResponse:
    """The page that shows what came of a form."""
    return RedirectResponse(to, 303)


def reason_of(principal: Principal, given: str) -> str:
    """A reason with who gave it, for records that have no place for a name."""
    return f"{given.strip()} ({principal.name})" if given.strip() else f"asked for by {principal.name}"
