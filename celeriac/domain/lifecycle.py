"""The lifecycles as tables. Rule: every change of a state goes through `moved`; nothing else assigns a state.

A table maps state -> event -> next state. What is not in it is illegal and raises with the thing, its state and the
event. The docs' pictures are drawn from these tables.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from celeriac.domain.errors import IllegalTransition
from celeriac.domain.states import FiringState, Outcome, Stage, StudyState, TrialState


class TrialEvent(StrEnum):
    """What can happen to a trial."""

    REPLACE = "replace"  # a suggestion that no attempt has had gives way to a better one
    QUEUE = "queue"  # its ticket is about to be sent
    UNQUEUE = "unqueue"  # the ticket may not run now (study paused, parallel limit): back to the buffer
    LEASE = "lease"  # a worker took it
    SCORE = "score"
    PRUNE = "prune"
    FAIL = "fail"  # by its own fault, or after five free retries
    RETRY = "retry"  # again from the buffer
    PARK = "park"  # handed back with a checkpoint
    CANCEL = "cancel"
    RERUN = "rerun"  # a person wants a failed one once more
    ADOPT = "adopt"  # its score came after the lease had lapsed, before anybody leased it again


class StudyEvent(StrEnum):
    """What can happen to a study."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    FINISH = "finish"
    STOP = "stop"
    FAIL = "fail"
    EXTEND = "extend"  # a person gives it a larger budget
    REOPEN = "reopen"  # a person wants it to go on


class AttemptEvent(StrEnum):
    """What can happen to an open attempt; each ends it."""

    SCORE = "score"
    PRUNE = "prune"
    FAULT = "fault"
    RELEASE = "release"  # handed back or cancelled, at no charge
    SUPERSEDE = "supersede"  # its lease lapsed and the trial went on without it
    ADOPT = "adopt"  # it lapsed, but brought its score before the trial went on


class FiringEvent(StrEnum):
    """What can happen to a firing of one slice."""

    LOOK = "look"  # the champion runs on tonight's data
    SEARCH = "search"
    CONFIRM = "confirm"  # challenger and champion run in pairs
    MORE = "more"  # more pairs are wanted
    PROMOTE = "promote"
    KEEP = "keep"  # what serves goes on serving
    SKIP = "skip"  # tuning would not pay tonight
    FAIL = "fail"
    MISS = "miss"  # it was not made, or its successor took its place
    APPROVE = "approve"  # a person wants what the night found
    LOOK_AGAIN = "look again"  # a person opened this stage's study again
    SEARCH_AGAIN = "search again"
    CONFIRM_AGAIN = "confirm again"


_T, _S, _TE, _SE = TrialState, StudyState, TrialEvent, StudyEvent

TRIAL_TRANSITIONS: Mapping[TrialState, Mapping[TrialEvent, TrialState]] = {
    _T.WAITING: {
        _TE.REPLACE: _T.WAITING,
        _TE.QUEUE: _T.QUEUED,
        _TE.LEASE: _T.RUNNING,
        _TE.CANCEL: _T.CANCELLED,
        _TE.ADOPT: _T.SCORED,
    },
    _T.QUEUED: {_TE.LEASE: _T.RUNNING, _TE.UNQUEUE: _T.WAITING, _TE.CANCEL: _T.CANCELLED, _TE.ADOPT: _T.SCORED},
    _T.RUNNING: {
        _TE.SCORE: _T.SCORED,
        _TE.PRUNE: _T.PRUNED,
        _TE.FAIL: _T.FAILED,
        _TE.RETRY: _T.WAITING,
        _TE.PARK: _T.PAUSED,
        _TE.CANCEL: _T.CANCELLED,
    },
    _T.PAUSED: {_TE.QUEUE: _T.QUEUED, _TE.CANCEL: _T.CANCELLED},
    _T.SCORED: {},
    _T.PRUNED: {},
    _T.FAILED: {_TE.RERUN: _T.WAITING},
    _T.CANCELLED: {},
}

STUDY_TRANSITIONS: Mapping[StudyState, Mapping[StudyEvent, StudyState]] = {
    _S.OPEN: {
        _SE.START: _S.RUNNING,
        _SE.PAUSE: _S.PAUSED,
        _SE.STOP: _S.STOPPED,
        _SE.FAIL: _S.FAILED,
        _SE.EXTEND: _S.OPEN,
    },
    _S.RUNNING: {
        _SE.PAUSE: _S.PAUSED,
        _SE.FINISH: _S.DONE,
        _SE.STOP: _S.STOPPED,
        _SE.FAIL: _S.FAILED,
        _SE.EXTEND: _S.RUNNING,
    },
    _S.PAUSED: {
        _SE.RESUME: _S.RUNNING,
        _SE.FINISH: _S.DONE,
        _SE.STOP: _S.STOPPED,
        _SE.FAIL: _S.FAILED,
        _SE.EXTEND: _S.PAUSED,
    },
    _S.DONE: {_SE.EXTEND: _S.RUNNING, _SE.REOPEN: _S.RUNNING},
    _S.STOPPED: {_SE.EXTEND: _S.RUNNING, _SE.REOPEN: _S.RUNNING},
    _S.FAILED: {_SE.EXTEND: _S.RUNNING, _SE.REOPEN: _S.RUNNING},
}

#: An open attempt has no outcome yet (None); whatever happens to it ends it. One end can be bettered: that of an
#: attempt which was given up, and then brought its score.
ATTEMPT_TRANSITIONS: Mapping[Outcome | None, Mapping[AttemptEvent, Outcome | None]] = {
    None: {
        AttemptEvent.SCORE: Outcome.SCORED,
        AttemptEvent.PRUNE: Outcome.PRUNED,
        AttemptEvent.FAULT: Outcome.FAULT,
        AttemptEvent.RELEASE: Outcome.RELEASED,
        AttemptEvent.SUPERSEDE: Outcome.SUPERSEDED,
    },
    **{outcome: {} for outcome in Outcome},
    Outcome.SUPERSEDED: {AttemptEvent.ADOPT: Outcome.SCORED},
}

_F, _FE = FiringState, FiringEvent

FIRING_TRANSITIONS: Mapping[FiringState, Mapping[FiringEvent, FiringState]] = {
    _F.DUE: {_FE.LOOK: _F.LOOKING, _FE.SEARCH: _F.SEARCHING, _FE.FAIL: _F.FAILED, _FE.MISS: _F.MISSED},
    _F.LOOKING: {
        _FE.SEARCH: _F.SEARCHING,
        _FE.CONFIRM: _F.CONFIRMING,
        _FE.SKIP: _F.SKIPPED,
        _FE.FAIL: _F.FAILED,
        _FE.MISS: _F.MISSED,
    },
    _F.SEARCHING: {_FE.CONFIRM: _F.CONFIRMING, _FE.KEEP: _F.KEPT, _FE.FAIL: _F.FAILED, _FE.MISS: _F.MISSED},
    _F.CONFIRMING: {
        _FE.MORE: _F.CONFIRMING,
        _FE.PROMOTE: _F.PROMOTED,
        _FE.KEEP: _F.KEPT,
        _FE.FAIL: _F.FAILED,
        _FE.MISS: _F.MISSED,
    },
    _F.PROMOTED: {},
    _F.KEPT: {_FE.APPROVE: _F.PROMOTED, _FE.SEARCH_AGAIN: _F.SEARCHING, _FE.CONFIRM_AGAIN: _F.CONFIRMING},
    _F.SKIPPED: {_FE.LOOK_AGAIN: _F.LOOKING},
    _F.FAILED: {_FE.LOOK_AGAIN: _F.LOOKING, _FE.SEARCH_AGAIN: _F.SEARCHING, _FE.CONFIRM_AGAIN: _F.CONFIRMING},
    _F.MISSED: {_FE.LOOK_AGAIN: _F.LOOKING, _FE.SEARCH_AGAIN: _F.SEARCHING, _FE.CONFIRM_AGAIN: _F.CONFIRMING},
}

#: What happens to a firing when the study of one of its stages is opened again.
AGAIN: Mapping[Stage, FiringEvent] = {
    Stage.LOOK: FiringEvent.LOOK_AGAIN,
    Stage.SEARCH: FiringEvent.SEARCH_AGAIN,
    Stage.CONFIRM: FiringEvent.CONFIRM_AGAIN,
}

S = TypeVar("S")
E = TypeVar("E")


def moved(table: Mapping[S, Mapping[E, S]], state: S, event: E, *, thing: str) -> S:
    """The state after `event`.

    Raises IllegalTransition, naming `thing`, its state, the event and the events that the state does know.
    """
    try:
        return table[state][event]
    except KeyError:
        known = ", ".join(sorted(map(str, table.get(state, {})))) or "none, it is at its end"
        raise IllegalTransition(f"{thing} is {state}: it cannot {event} (possible now: {known})") from None


def sources(table: Mapping[S, Mapping[E, S]], event: E) -> tuple[S, ...]:
    """The states in which `event` is legal: what a compare-and-set statement names in its WHERE."""
    return tuple(state for state, events in table.items() if event in events)
