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


FINISHED = frozenset({TrialState.SCORED, TrialState.PRUNED, TrialState.FAILED})
ENDED = FINISHED | {TrialState.CANCELLED}
CLOSED = frozenset({StudyState.DONE, StudyState.STOPPED, StudyState.FAILED})
