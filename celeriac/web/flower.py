"""Flower behind the board's login: what it shows is fetched here and handed on, to tokens with the scope `operate`.

Rule: it is read, never written: only GET passes. Of the asker's headers Flower gets what a page needs, never the cookie
or the token; it is given its own login. Its pages come under the board's own policy for scripts, so that no text in
them can run as one.
"""

import re
import ssl
from base64 import b64encode
from functools import cache
from hashlib import sha256

import httpx
from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from celeriac.runtime.settings import Settings
from celeriac.web.auth.guard import HEADERS
from celeriac.web.auth.principal import Operator
from celeriac.web.problems import Refused

router = APIRouter(include_in_schema=False)
PREFIX = "/flower"
_WITHIN_S = 15.0
_ASKED = ("accept", "accept-language", "if-none-match", "if-modified-since", "x-requested-with")
_TOLD = ("content-type", "cache-control", "etag", "last-modified", "location", "vary")
#: The one script that Flower writes into a page, a number in it.
_INLINE = re.compile(rb"<script type=\"text/javascript\">(\s*var autorefresh = \d{1,9};\s*)</script>")


@router.get(PREFIX)
def front(_: Operator) -> RedirectResponse:
    """Its first page."""
    return RedirectResponse(f"{PREFIX}/", 303)


@router.get(PREFIX + "/{path:path}", response_model=None)
async def flower(request: Request, _: Operator) -> Response:
    """What Flower answers to the same path."""
    settings: Settings = request.app.state.settings
    if not settings.flower_url:
        raise Refused(404, "the board knows of no Flower: CELERIAC_FLOWER_URL says where it is", kind="no-flower")
    asked = {name: value for name in _ASKED if (value := request.headers.get(name)) is not None}
    login = (settings.flower_user, settings.flower_password) if settings.flower_user else None
    path = request.scope.get("raw_path", b"").decode("latin-1").partition("?")[0]
    query = f"?{request.url.query}" if request.url.query else ""
    try:
        async with httpx.AsyncClient(verify=_trust(), timeout=_WITHIN_S, trust_env=False) as client:
            found = await client.get(f"{settings.flower_url.rstrip('/')}{path}{query}", headers=asked, auth=login)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Refused(
            503, f"Flower does not answer ({type(error).__name__})", kind="flower-away", headers={"Retry-After": "5"}
        ) from error
    if found.status_code == 401:  # a browser would ask the person for it
        raise Refused(
            503, "Flower refuses the board: its login is another than the board was given", kind="flower-away"
        )
    headers = {name: value for name in _TOLD if (value := found.headers.get(name)) is not None}
    body = b"" if found.status_code == 304 else found.content
    return Response(body, found.status_code, {**headers, "Content-Security-Policy": policy(body)})


def policy(body: bytes) -> str:
    """The board's own policy, with the one script that Flower's page has in it."""
    found = _INLINE.search(body)
    own = HEADERS["Content-Security-Policy"]
    if found is None:
        return own
    digest = b64encode(sha256(found[1]).digest()).decode()
    return own.replace("script-src 'self'", f"script-src 'self' 'sha256-{digest}'")


@cache
def _trust() -> ssl.SSLContext:
    """Whom a Flower behind TLS is believed; made once."""
    return ssl.create_default_context()
