"""API tokens: made once, told once, kept as a digest."""

import re
from datetime import datetime, timedelta

from celeriac.domain.errors import TokenInvalid
from celeriac.domain.records import ApiToken, Scope, digest_of, new_secret, new_token
from celeriac.store.api_web import WebStore

#: How long a link lets a browser in, once.
LINK_S = 3600.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def make_token(store: WebStore, name: str, scopes: tuple[Scope, ...], for_s: float | None = None) -> str:
    """Make a token that holds for so many seconds, or until it is revoked; its text, which nobody can read again.

    Raises TokenInvalid for a name that is taken, or that is none.
    """
    if not _NAME.fullmatch(name):
        raise TokenInvalid(f"{name!r} cannot name a token: use letters, digits and . _ @ -, at most 64")
    now: datetime = store.now()
    until = None if for_s is None else now + timedelta(seconds=for_s)
    secret = new_token()
    store.add_token(ApiToken(name, digest_of(secret), scopes, now, expires_at=until))
    return secret


def make_link(store: WebStore, token: str) -> str:
    """The code of a link that lets one browser in, as this token, within the hour. Raises TokenInvalid."""
    code = new_secret()
    if not store.open_session(token, digest_of(code), new_secret(), LINK_S, is_link=True):
        raise TokenInvalid(f"there is no token {token} that holds: `celeriac token list` shows all")
    return code
