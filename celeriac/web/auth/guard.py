"""The guard in front of every path: headers, length, login and forms. Rule: what is not named open here is closed, so
that a route that somebody adds is behind the login without a word.

Pure ASGI, so that streams pass through as they come.
"""

import asyncio
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.formparsers import MultiPartException
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from celeriac.domain.errors import CeleriacError
from celeriac.web.auth.failures import Failures
from celeriac.web.auth.principal import Principal, who_asks
from celeriac.web.body import body_again
from celeriac.web.problems import Refused, problem, problem_of, shown

#: Paths are those of the request line: a framework builds an address from the Host header too, which anybody writes.
#: Open to anybody: the login, what its page is drawn with, and whether this program lives.
OPEN_PATHS = frozenset({"/login", "/login/once", "/healthz"})
OPEN_FOLDERS = ("/static/",)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_FIELD, CSRF_HEADER = "csrf", "x-csrf-token"
#: For how long a request's body may take to arrive; and how long it may be where anybody may send one.
BODY_S = 30.0
OPEN_BYTES = 16_384
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

#: Where the public address is one of TLS: a browser that was here once never comes by plain HTTP.
TLS_ONLY = {"Strict-Transport-Security": "max-age=31536000"}


class Guard:
    """The middleware. It stands before the app's own error handling and answers by itself what it refuses."""

    def __init__(self, app: ASGIApp, state: FastAPI, most_bytes: int, *, by_tls: bool) -> None:
        self._app, self._state, self._most_bytes = app, state, most_bytes
        self._headers = HEADERS | (TLS_ONLY if by_tls else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        with_headers = _adding(send, self._headers, is_static=scope["path"].startswith(OPEN_FOLDERS))
        body = b""
        try:
            answer = await self._unknown(Request(scope))  # by the head alone: a stranger's body is not read
            if answer is None:
                body = await self._body(scope, receive)
                answer = await self._refusal(Request(scope, body_again(body, receive)))
        except Refused as refused:
            answer = problem_of(refused)
        if answer is not None:
            await shown(Request(scope), answer)(scope, receive, with_headers)
        else:
            await self._app(scope, body_again(body, receive), with_headers)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body, which no request has longer than the limit."""
        if scope["method"] in SAFE_METHODS:
            return b""
        most, why = self._most_bytes, "CELERIAC_WEB_BODY_BYTES"
        if _is_open(scope["path"]) and most > OPEN_BYTES:
            most, why = OPEN_BYTES, "without a login"
        too_long = Refused(413, f"a request may have {most} bytes ({why})")
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if told.isdigit() and int(told[:20]) > most:
            raise too_long
        parts, size, more = [], 0, True
        try:
            async with asyncio.timeout(BODY_S):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(400, "the request ended before its body did")
                    part, more = message.get("body", b""), message.get("more_body", False)
                    size += len(part)
                    if size > most:
                        raise too_long
                    parts.append(part)
        except TimeoutError:
            raise Refused(408, f"the body did not arrive within {BODY_S:g} s") from None
        return b"".join(parts)

    async def _unknown(self, request: Request) -> Response | None:
        """What is answered to whom nobody knows; who asks is in the request's state otherwise."""
        if _is_open(request.scope["path"]):
            return None
        try:
            found = await run_in_threadpool(who_asks, self._state.state.store, request)
        except CeleriacError as error:
            return problem_of(error)
        if found is None:
            return self._stranger(request)
        request.state.principal = found
        return None

    async def _refusal(self, request: Request) -> Response | None:
        """What a form that a browser was made to send is answered."""
        if request.method in SAFE_METHODS:
            return None
        if _is_open(request.scope["path"]):
            return _foreign(request)
        found: Principal = request.state.principal
        return (_foreign(request) or await _forged(request, found)) if found.session else None

    def _stranger(self, request: Request) -> Response:
        failures: Failures = self._state.state.failures
        if "authorization" in request.headers:
            address = address_of(request)
            if (wait_s := failures.wait_s(address)) > 0:
                return too_many(wait_s)
            failures.note(address)
        wants_page = "text/html" in request.headers.get("accept", "") and request.method in ("GET", "HEAD")
        if wants_page and not request.scope["path"].startswith("/api/") and "authorization" not in request.headers:
            asked = request.scope["path"] + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/login?next={quote(asked, safe='/')}", 303)
        return problem(
            401,
            "give a token: `Authorization: Bearer clr_…` (`celeriac token create NAME` makes one), or log in at /login",
            kind="login-needed",
            headers={"WWW-Authenticate": 'Bearer realm="celeriac"'},
        )


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)


def address_of(request: Request) -> str:
    """Whom a failed login is counted against."""
    return request.client.host if request.client else ""


def too_many(wait_s: float) -> Response:
    """The answer to a login too many."""
    again = str(int(wait_s) + 1)
    return problem(
        429, f"too many failed logins from this address: try again in {again} s", headers={"Retry-After": again}
    )


def _foreign(request: Request) -> Response | None:
    """A browser says from where a form is sent: another site's is refused."""
    origin = request.headers.get("origin")
    if origin is None or urlsplit(origin).netloc == request.headers.get("host"):
        return None
    return problem(403, "the form was sent from another site", kind="foreign-origin")


async def _forged(request: Request, principal: Principal) -> Response | None:
    """A browser's write must carry the session's own secret, which no other site knows."""
    given: Any = request.headers.get(CSRF_HEADER)
    if given is None and request.headers.get("content-type", "").startswith(
        ("application/x-www-form-urlencoded", "multipart/form-data")
    ):
        try:
            async with request.form() as form:
                given = form.get(CSRF_FIELD)
        except (MultiPartException, ValueError, AssertionError) as error:
            return problem(400, f"the form cannot be read: {error}")
    if isinstance(given, str) and hmac.compare_digest(given.encode(errors="replace"), principal.csrf.encode()):
        return None
    return problem(403, "the form is old or not ours: load its page again", kind="csrf")


def _adding(send: Send, added: Mapping[str, str], *, is_static: bool) -> Send:
    """Each answer gets the headers that keep a browser from harm; nothing but static files is kept by caches."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in added.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "public, max-age=3600" if is_static else "no-cache, private")
        await send(message)

    return sent
