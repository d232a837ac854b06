"""Errors as `application/problem+json` (RFC 9457), from the error tree; a browser gets the same as a page. Rule: what
nobody meant for the asker (a fault of ours, an address, a password) is logged under a number; told are the number, and
of an outage what is away.
"""

import json
import logging
import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from celeriac.domain.errors import (
    BrokerUnavailable,
    Busy,
    CallerError,
    CeleriacError,
    DuplicateStudy,
    ExtraMissing,
    IllegalTransition,
    SchemaMismatch,
    SettingInvalid,
    SpecInvalid,
    StackError,
    StaleTurn,
    StoreUnavailable,
    StudyPaused,
    TokenInvalid,
    TryAgain,
    UnknownSchedule,
    UnknownStudy,
    UnknownTrial,
    ValueRefused,
)

log = logging.getLogger(__name__)

_PROBLEM = "application/problem+json"
#: The first that fits, from the leaves to the root.
_STATUS: tuple[tuple[type[CeleriacError], int], ...] = (
    (UnknownStudy, 404),
    (UnknownTrial, 404),
    (UnknownSchedule, 404),
    (TokenInvalid, 422),
    (SpecInvalid, 422),
    (DuplicateStudy, 409),
    (IllegalTransition, 409),
    (StudyPaused, 409),
    (StaleTurn, 409),
    (ExtraMissing, 501),
    (SchemaMismatch, 503),
    (SettingInvalid, 503),
    (StackError, 503),
    (TryAgain, 503),
    (ValueRefused, 422),
    (CallerError, 422),
)
#: Whose words are for who keeps the service: they may name hosts and logins.
_PRIVATE = (SchemaMismatch, SettingInvalid, StackError, TryAgain)
_AGAIN = {"Retry-After": "2"}
#: So many lines of what is wrong: a request of a megabyte can be wrong in each of its bytes.
_MOST_TOLD = 50
#: What of these is for everybody.
_AWAY: tuple[tuple[type[CeleriacError], str], ...] = (
    (StoreUnavailable, "Postgres does not answer, or cannot write"),
    (BrokerUnavailable, "Redis does not answer"),
    (SchemaMismatch, "the database is older or newer than this program, and `celeriac migrate` was not run"),
)
TITLES = {
    400: "The request is malformed",
    401: "A token is needed",
    403: "This token may not do that",
    404: "There is no such thing",
    405: "This path has no such method",
    408: "The request came too slowly",
    409: "Its state forbids it",
    412: "It has changed",
    413: "The request is too long",
    415: "The request is of a kind that is not read here",
    422: "The request is wrong",
    429: "Too many at once",
    500: "A fault of the service",
    501: "It is not installed here",
    503: "The service does not answer now",
}


class Refused(Exception):
    """A request that is refused before anything is done, with its status and what to do."""

    def __init__(self, status: int, detail: str, *, kind: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.kind, self.headers = status, detail, kind, dict(headers or {})


def problem(
    status: int, detail: str, *, kind: str = "", headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """A problem's answer. `kind`: what a program can tell it by, such as `unknown-study`."""
    title = TITLES.get(status, "The request failed")
    body = {"type": f"urn:celeriac:{kind or status}", "title": title, "status": status, "detail": detail, **more}
    return JSONResponse(body, status, dict(headers or {}), media_type=_PROBLEM)


def _of_error(error: CeleriacError) -> Response:
    """The answer to a request that an expected error ended."""
    status = next((each for kind, each in _STATUS if isinstance(error, kind)), 500)
    kind = _dashed(type(error).__name__)
    if status == 500 or (isinstance(error, _PRIVATE) and not isinstance(error, StaleTurn | Busy)):
        return _numbered(error, status, kind)
    more: dict[str, Any] = {}
    if isinstance(error, SpecInvalid):
        more["errors"] = error.problems[: _MOST_TOLD + 1]
    if isinstance(error, DuplicateStudy):
        more["difference"] = error.difference
    return problem(status, str(error), kind=kind, headers=_AGAIN if status == 503 else {}, **more)


def _numbered(error: Exception, status: int, kind: str) -> Response:
    number = secrets.token_hex(4)
    log.error("%s %s: %s", number, type(error).__name__, error, exc_info=error if status == 500 else None)
    if status != 503:
        return problem(status, f"the log of the web program says more, under {number}", kind=kind)
    away = next((said for each, said in _AWAY if isinstance(error, each)), "a part of the service cannot work")
    detail = (
        f"{away}; nothing was changed. Try again in a moment. If it stays so, run `celeriac doctor` on the service's "
        f"host; the log of the web program says more, under {number}"
    )
    return problem(status, detail, kind=kind, headers=_AGAIN)


def problem_of(error: CeleriacError | Refused | RequestValidationError) -> Response:
    """The answer to a request that was wrong, was refused, or ended in an expected error."""
    if isinstance(error, CeleriacError):
        return _of_error(error)
    if isinstance(error, Refused):
        return problem(error.status, error.detail, kind=error.kind, headers=error.headers)
    found = error.errors()
    lines = [f"{'.'.join(str(part)[:100] for part in each['loc'])}: {each['msg']}" for each in found[:_MOST_TOLD]]
    if len(found) > _MOST_TOLD:
        lines.append(f"and {len(found) - _MOST_TOLD} more: mend these first")
    return problem(422, lines[0] if lines else "the request is wrong", kind="request-invalid", errors=lines)


def shown(request: Request, told: Response) -> Response:
    """A problem as its asker reads it: as a page where a browser opens one, else as it is."""
    wants_page = "text/html" in request.headers.get("accept", "") and not request.scope["path"].startswith("/api/")
    if told.media_type != _PROBLEM or not wants_page:
        return told
    values = {
        "problem": json.loads(bytes(told.body)),
        # The page of a fault is sent from outside the guard, without its headers: nothing is to be pressed on it.
        "principal": None if told.status_code == 500 else getattr(request.state, "principal", None),
        "again": told.status_code == 503 and request.method == "GET",
    }
    headers = {name: each for name, each in told.headers.items() if not name.startswith("content-")}
    page: Response = request.app.state.templates.TemplateResponse(
        request, "error.html", values, told.status_code, headers
    )
    return page


def install(app: FastAPI) -> None:
    """Have the app answer every error in this way."""

    @app.exception_handler(CeleriacError)
    @app.exception_handler(Refused)
    @app.exception_handler(RequestValidationError)
    def expected(request: Request, error: CeleriacError | Refused | RequestValidationError) -> Response:
        return shown(request, problem_of(error))

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        return shown(request, problem(error.status_code, str(error.detail), headers=error.headers))

    @app.exception_handler(RecursionError)
    @app.exception_handler(UnicodeError)
    def unreadable(request: Request, _: Exception) -> Response:
        told = problem(422, "the request holds text that is no Unicode, or is nested too deep", kind="unreadable")
        return shown(request, told)

    @app.exception_handler(Exception)
    def fault(request: Request, error: Exception) -> Response:
        return shown(request, _numbered(error, 500, "fault"))


def _dashed(name: str) -> str:
    return "".join(f"-{each.lower()}" if each.isupper() else each for each in name).lstrip("-")
