"""The store's contract for the web: tokens and sessions, lists, answered requests and announcements, beside all other
verbs. Postgres alone keeps it; no decision stands on these, and so the model in memory does without.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from celeriac.domain.records import (
    ApiToken,
    Attempt,
    Champion,
    Fault,
    Firing,
    Goal,
    Report,
    Source,
    TrialRecord,
    TrialState,
    WebSession,
)
from celeriac.store.api import Store
from celeriac.store.api_board import BoardStore


@dataclass(frozen=True, slots=True)
class TrialFilter:
    """Which trials of a study: in one of these states, of one of these sources, with one of these faults, and a score
    between these, both included. What is empty or None leaves all.
    """

    states: Sequence[TrialState] = ()
    sources: Sequence[Source] = ()
    faults: Sequence[Fault] = ()
    min_score: float | None = None
    max_score: float | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A request with an idempotency key that is known: what it `asked` (a hash), and what it was answered; `status`
    None: it is being done.
    """

    asked: str
    status: int | None
    answer: bytes | None


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


class ListStore(Protocol):
    """Lists, paged by a place in their order; filtered and thinned by the database."""

    def trials_page(
        self, study_id: int, wanted: TrialFilter, *, after: int | None = None, down: bool = False, limit: int = 100
    ) -> list[TrialRecord]:
        """By number, from the one after `after`; `down`: the newest first."""

    def trials_by_score(
        self,
        study_id: int,
        wanted: TrialFilter,
        *,
        goal: Goal,
        after: tuple[float, int] | None = None,
        limit: int = 100,
    ) -> list[TrialRecord]:
        """Those with a score, the best first, from the one after this (score, number)."""

    def sampled_reports(
        self, study_id: int, numbers: Sequence[int], *, points: int, attempt: int | None = None
    ) -> dict[int, list[Report]]:
        """What `reports` gives for each trial, without checkpoints and at most about so many, spread evenly; the first
        and the last are among them.
        """

    def firings_by_id(self, ids: Sequence[int]) -> list[Firing]:
        """These firings, by id; those that are there."""

    def champions_page(
        self, schedule: str | None = None, *, after_id: int | None = None, limit: int = 100
    ) -> list[Champion]:
        """What `champions` gives, from the slice after that of the verdict `after_id` on."""

    def attempts_page(
        self, study_id: int, numbers: Sequence[int] | None, *, after: tuple[int, int] | None = None, limit: int = 500
    ) -> list[Attempt]:
        """The attempts of these trials of a study, or of all (None), by trial and number, from the one after this."""

    def reports_page(
        self, study_id: int, numbers: Sequence[int] | None, *, after: tuple[int, int] | None = None, limit: int = 500
    ) -> list[tuple[int, Report]]:
        """What these trials of a study reported, or all of them (None), by trial and step, from the one after this
        (trial, step); as `reports_of` gives it, without checkpoints.
        """


class RequestStore(Protocol):
    """Requests that came with an idempotency key, for a day."""

    def begin_request(self, token: str, key: str, asked: str) -> Answered | None:
        """Begin a request; None: nobody has begun it. One without an answer for a minute may be begun again."""

    def end_request(self, token: str, key: str, status: int, answer: bytes) -> None:
        """Keep its answer."""

    def forget_request(self, token: str, key: str) -> None:
        """It was not done: it may be begun again."""


class ChangeStore(Protocol):
    """Announcements of changes, which are made while somebody looks on."""

    def look_on(self, viewer: str, for_s: float) -> None:
        """Have changes announced for so many seconds."""

    def look_away(self, viewer: str) -> None:
        """The viewer needs them no more."""

    def changes(self, every_s: float) -> Iterator[set[int]]:
        """The ids of studies that have changed, every so many seconds; holds a connection until it is closed."""


class WebStore(Store, AccessStore, BoardStore, ListStore, RequestStore, ChangeStore, Protocol):
    """All that the web may ask of Postgres."""
