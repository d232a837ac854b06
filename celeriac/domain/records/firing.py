"""A firing of one slice of a schedule, and the verdicts that make a slice's champion."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from celeriac.domain.records.study import NewStudy
from celeriac.domain.states import FiringState, Params, VerdictKind


@dataclass(frozen=True, slots=True)
class NewFiring:
    """What is needed to fire one slice: the study that its stages' studies are like, and what `Firing` says of
    `by_hand` and `note`.
    """

    study: NewStudy
    by_hand: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Firing:
    """(schedule, slice, due_at, by_hand) is unique: the row itself is the lock that makes a firing happen once.

    `by_hand` is 0 for the clock's own firing, else its number among those that people made on that day. `note` is what
    its schedule's history should tell: that it has another name than usual, that earlier firings were skipped. `turn`
    grows with each move; a move that names an older turn is refused. `steps` is its life so far, one mapping a move:
    `state`, `at` (ISO, UTC), `reason`, and what that decision stood on.
    """

    id: int
    name: str
    schedule: str
    slice: Mapping[str, Any]
    due_at: datetime
    by_hand: int
    note: str
    state: FiringState
    reason: str
    turn: int
    fired_at: datetime
    entered_at: datetime
    steps: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Champion:
    """A verdict on a slice: a night's own, or a person's. The slice's champion is the newest row with `promoted`.

    `study_id` and `trial` are where its parameters were found, `score` and `default_score` what the search measured.
    `before_id` is the champion that it was compared with, or took the place of. `evidence` holds all that the decision
    stood on. `awaits`: a person has to approve it. `who`: the person, "" for a night's own.
    """

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
    id: int = 0
    firing_id: int | None = None
    kind: VerdictKind = VerdictKind.NIGHT
    who: str = ""
    before_id: int | None = None
    awaits: bool = False
    evidence: Mapping[str, Any] = field(default_factory=dict)
