"""The store's contract for the web: tokens and sessions beside all other verbs. Postgres alone keeps it; no decision
stands on these, and so the model in memory does without.
"""

from typing import Protocol

from celeriac.domain.records import ApiToken, WebSession
from celeriac.store.api import Store
from celeriac.store.api_board import BoardStore


class AccessStore(Protocol):
    """Who may ask over the web. Secrets come as their digests (`celeriac.domain.records.digest_of`)."""

    def add_token(self, token: ApiToken) -> ApiToken:
        """Keep a token. Raises TokenInvalid when the name was ever used."""

    def tokens(self) -> list[ApiToken]:
        """All, by name, those too that are revoked."""

    def token_of(self, digest: str) -> ApiToken | None:
        """The token that holds now, and note its use; None: there is none, it was revoked, or it has expired."""

    def revoke_token(self, name: str) -> None:
        """From now on it lets nobody in, nor do its sessions. Raises TokenInvalid when there is none."""

    def open_session(self, token: str, digest: str, csrf: str, for_s: float, *, is_link: bool = False) -> bool:
        """Let a browser in by a token, for so many seconds, or make a link that will; False: the token does not
        hold.
        """

    def use_link(self, link: str, digest: str, csrf: str, for_s: float) -> WebSession | None:
        """The session that a link lets in, once; None: it was used, or is too old, or its token does not hold."""

    def session_of(self, digest: str) -> WebSession | None:
        """The session that holds now, with its token's scopes, and note its use; None: there is none."""

    def end_session(self, digest: str) -> None:
        """Log a browser out."""


class WebStore(Store, AccessStore, BoardStore, Protocol):
    """All that the web may ask of Postgres."""
