"""A schedule: its row, its firings, and the champions of its slices."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celeriac.domain.records.states import Params
from celeriac.domain.records.study import NewStudy


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule's row: the study it opens for each slice, and when the first of its slices is due next."""

    name: str
    spec: Mapping[str, Any]
    cron: str
    timezone: str
    slices: tuple[Mapping[str, Any], ...]
    code_root: str
    fingerprint: str
    paused: bool
    next_due_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewFiring:
    """What is needed to fire one slice: its study, and what `Firing` says of `by_hand` and `note`."""

    study: NewStudy
    by_hand: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Firing:
    """(schedule, slice, due_at, by_hand) is unique: the row itself is the lock that makes a firing happen once.

    `by_hand` is 0 for the clock's own firing, else its number among those that people made on that day. `note` is what
    its schedule's history should tell: that its study has another name than usual, that earlier firings were skipped.
    """

    schedule: str
    slice: Mapping[str, Any]
    due_at: datetime
    study_id: int
    fired_at: datetime
    by_hand: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Champion:
    """The verdict on one closed study of a slice. The slice's champion is the newest row with `promoted`."""

    schedule: str
    slice: Mapping[str, Any]
    study_id: int
    study: str
    trial: int | None
    params: Params
    score: float | None
    default_score: float | None
    metrics: Mapping[str, Any]
    promoted: bool
    reason: str
    decided_at: datetime | None = None
