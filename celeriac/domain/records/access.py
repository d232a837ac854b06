"""Who may ask the service over the web: tokens, and the browsers' sessions that stand on them.

There are no users: a token's name is who. The store keeps of a secret its SHA-256 alone.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

#: In front of each token, so that a scanner of repositories knows a leaked one.
TOKEN_PREFIX = "clr_"  # noqa: S105 - a prefix that everybody may know
_SECRET_BYTES = 32


class Scope(StrEnum):
    """What a token may do. None of them brings another."""

    READ = "read"
    #: Open studies and schedules, and all that belongs to a study.
    SUBMIT = "submit"
    #: Champions, devices.
    OPERATE = "operate"
    #: Name any code below the code root, not only that below the roots that are open to `submit`.
    CODE = "code"


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token's row."""

    name: str
    digest: str
    scopes: tuple[Scope, ...]
    made_at: datetime
    used_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WebSession:
    """A browser that logged in by a token, or a link that lets one in once (`opened_at` None)."""

    digest: str
    token: str
    csrf: str
    scopes: tuple[Scope, ...]
    expires_at: datetime
    opened_at: datetime | None = None


def new_token() -> str:
    """A token's text: a prefix and 32 random bytes."""
    return TOKEN_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def new_secret() -> str:
    """The secret of a session, of a link, or of a form."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def digest_of(secret: str) -> str:
    """What the store keeps of a secret. It is random and long, so that a plain hash cannot be guessed back."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
