"""Goal, parameters and states: the closed sets that the rows' columns are of."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

Goal = Literal["maximize", "minimize"]
Params = Mapping[str, Any]


class StudyState(StrEnum):
    """Where a study is in its life; see `celeriac.domain.lifecycle`."""

    OPEN = "OPEN"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    DONE = "DONE"
    STOPPED = "STOPPED"
    FAILED = "FAILED"


class TrialState(StrEnum):
    """Where a trial is in its life; see `celeriac.domain.lifecycle`."""

    WAITING = "WAITING"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    SCORED = "SCORED"
    PRUNED = "PRUNED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Outcome(StrEnum):
    """How an attempt ended. The set is closed."""

    SCORED = "scored"
    PRUNED = "pruned"
    FAULT = "fault"
    RELEASED = "released"
    SUPERSEDED = "superseded"


class Fault(StrEnum):
    """The class of a fault; each has its own retry (`celeriac.decide.retry`)."""

    INFRASTRUCTURE = "infrastructure"
    OUT_OF_MEMORY = "out_of_memory"
    NOT_FINITE = "not_finite"
    TIMEOUT = "timeout"
    USER_BUG = "user_bug"
    PREEMPTED = "preempted"


class Source(StrEnum):
    """Where a trial's parameters came from."""

    DEFAULT = "default"
    PRIOR = "prior"
    SUGGESTED = "suggested"
    CHAMPION = "champion"
    CHALLENGER = "challenger"
    PROPOSED = "proposed"
    PBT = "pbt"


class FiringState(StrEnum):
    """Where a firing is in its life; see `celeriac.domain.lifecycle`."""

    DUE = "DUE"
    LOOKING = "LOOKING"
    SEARCHING = "SEARCHING"
    CONFIRMING = "CONFIRMING"
    PROMOTED = "PROMOTED"
    KEPT = "KEPT"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    MISSED = "MISSED"


class Stage(StrEnum):
    """What a study of a firing is for: each stage of a firing has at most one."""

    LOOK = "look"
    SEARCH = "search"
    CONFIRM = "confirm"


class VerdictKind(StrEnum):
    """Who or what wrote a verdict: a night's own comparison, or a person."""

    NIGHT = "night"
    APPROVED = "approved"
    REJECTED = "rejected"
    BY_HAND = "by hand"
    ROLLBACK = "rollback"


FINISHED = frozenset({TrialState.SCORED, TrialState.PRUNED, TrialState.FAILED})
ENDED = FINISHED | {TrialState.CANCELLED}
CLOSED = frozenset({StudyState.DONE, StudyState.STOPPED, StudyState.FAILED})

#: The states of a firing that has more to do; a stage's state has that stage's study.
WORKING: Mapping[FiringState, Stage | None] = {
    FiringState.DUE: None,
    FiringState.LOOKING: Stage.LOOK,
    FiringState.SEARCHING: Stage.SEARCH,
    FiringState.CONFIRMING: Stage.CONFIRM,
}
#: Stages whose studies run points that are given, and ask no sampler.
GIVEN = frozenset({Stage.LOOK, Stage.CONFIRM})
