"""Logging in and out: a token, or a link that `celeriac up` printed, becomes a browser's session."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from celeriac.domain.records import digest_of, new_secret
from celeriac.store import WebStore
from celeriac.web.auth.failures import Failures
from celeriac.web.auth.guard import address_of, too_many
from celeriac.web.auth.principal import COOKIE, principal_of
from celeriac.web.problems import shown

router = APIRouter(include_in_schema=False)
#: A browser stays logged in for so long.
SESSION_S = 30 * 24 * 3600.0
_WRONG = "This token lets nobody in: it is mistyped, revoked, or has expired."
_OLD_LINK = "This link was used, or is too old. Enter a token, or run `celeriac token link` for a new link."


@router.get("/login")
def login_page(request: Request, next: str = "/") -> HTMLResponse:
    """The page that asks for a token."""
    return _page(request, next)


@router.post("/login", response_model=None)
def log_in(request: Request, token: Annotated[str, Form()] = "", next: Annotated[str, Form()] = "/") -> Response:
    """Let a browser in by a token."""
    failures: Failures = request.app.state.failures
    address = address_of(request)
    if (wait_s := failures.wait_s(address)) > 0:
        return shown(request, too_many(wait_s))
    store: WebStore = request.app.state.store
    found, secret = store.token_of(digest_of(token.strip())), new_secret()
    if found is None or not store.open_session(found.name, digest_of(secret), new_secret(), SESSION_S):
        failures.note(address)
        return _page(request, next, _WRONG, 401)
    return _let_in(request, secret, next)


@router.get("/login/once", response_model=None)
def use_link(request: Request, code: str = "", next: str = "/") -> Response:
    """Let a browser in by a link, once."""
    failures: Failures = request.app.state.failures
    address = address_of(request)
    if (wait_s := failures.wait_s(address)) > 0:
        return shown(request, too_many(wait_s))
    store: WebStore = request.app.state.store
    secret = new_secret()
    if store.use_link(digest_of(code), digest_of(secret), new_secret(), SESSION_S) is None:
        failures.note(address)
        return _page(request, next, _OLD_LINK, 401)
    return _let_in(request, secret, next)


@router.post("/logout")
def log_out(request: Request) -> RedirectResponse:
    """End the session."""
    store: WebStore = request.app.state.store
    store.end_session(principal_of(request).session)
    # What this browser kept of the pages goes too, where it may say so: by TLS, or on its own machine.
    answer = RedirectResponse("/login", 303, {"Clear-Site-Data": '"cache"'})
    answer.delete_cookie(COOKIE, path="/")
    return answer


def _let_in(request: Request, secret: str, to: str) -> RedirectResponse:
    answer = RedirectResponse(_own_path(to), 303)
    answer.set_cookie(
        COOKIE,
        secret,
        max_age=int(SESSION_S),
        path="/",
        httponly=True,
        samesite="lax",
        secure="https" in (request.url.scheme, urlsplit(request.app.state.settings.web_public_url).scheme),
    )
    return answer


def _own_path(to: str) -> str:
    """A path of this site alone: whoever made the link sends nobody elsewhere after the login."""
    plain = to.startswith("/") and not to.startswith("//") and "\\" not in to and to.isprintable()
    return to if plain else "/"


def _page(request: Request, to: str, wrong: str = "", status: int = 200) -> HTMLResponse:
    values = {"next": _own_path(to), "wrong": wrong}
    page: HTMLResponse = request.app.state.templates.TemplateResponse(request, "login.html", values, status)
    return page
