"""What a store refuses, in words: the checks of what a caller wants, and the errors. Rule: an error names the thing,
its state and the next step.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from celeriac.domain.errors import (
    CallerError,
    DuplicateStudy,
    IllegalTransition,
    LeaseLost,
    ScoreNotFinite,
    StaleTurn,
    UnknownSchedule,
    UnknownStudy,
    UnknownTrial,
)
from celeriac.domain.lifecycle import ATTEMPT_TRANSITIONS, TRIAL_TRANSITIONS, AttemptEvent, TrialEvent, sources
from celeriac.domain.records import (
    CLOSED,
    Attempt,
    Champion,
    Crossing,
    Firing,
    Outcome,
    Refusal,
    Replay,
    StudyRecord,
    StudyState,
)
from celeriac.domain.study_file import full_slice_name
from celeriac.store.api import AttemptEnd
from celeriac.store.sanitize import plain_json, plain_text

#: Which ways a trial may go when its attempt ends so.
TRIAL_AFTER: Mapping[AttemptEvent, frozenset[TrialEvent]] = {
    AttemptEvent.SCORE: frozenset({TrialEvent.SCORE}),
    AttemptEvent.PRUNE: frozenset({TrialEvent.PRUNE}),
    AttemptEvent.FAULT: frozenset({TrialEvent.FAIL, TrialEvent.RETRY, TrialEvent.PARK}),
    AttemptEvent.RELEASE: frozenset({TrialEvent.RETRY, TrialEvent.PARK, TrialEvent.CANCEL}),
    AttemptEvent.SUPERSEDE: frozenset({TrialEvent.FAIL, TrialEvent.RETRY, TrialEvent.PARK}),
    AttemptEvent.ADOPT: frozenset(),  # the store's own answer to a score that is late
}


def checked(end: AttemptEnd) -> AttemptEnd:
    """The end with plain values, if it makes sense.

    Raises IllegalTransition when the trial cannot go that way after such an attempt, ScoreNotFinite when a score is
    not a number.
    """
    if end.trial_event not in TRIAL_AFTER[end.attempt_event]:
        possible = ", ".join(sorted(TRIAL_AFTER[end.attempt_event]))
        raise IllegalTransition(
            f"an attempt that ends with {end.attempt_event} cannot {end.trial_event} its trial (possible: {possible})"
        )
    scored = end.trial_event is TrialEvent.SCORE
    if (scored and end.score is None) or (end.score is not None and not math.isfinite(end.score)):
        raise ScoreNotFinite(f"a score must be a finite number, not {end.score}; end the attempt with a fault")
    for name, value in (("drift", end.drift or 0.0), *(("block of holdout", each) for each in end.holdout)):
        if not math.isfinite(value):
            raise ScoreNotFinite(f"a {name} must be a finite number, not {value}; end the attempt with a fault")
    return replace(
        end,
        metrics=plain_json(end.metrics),
        holdout=tuple(float(each) for each in end.holdout),
        detail=plain_text(end.detail),
        traceback=plain_text(end.traceback),
        signature=plain_text(end.signature),
        log_tail=None if end.log_tail is None else plain_text(end.log_tail),
    )


def can_adopt(outcome: Outcome, end: AttemptEnd) -> bool:
    """Whether a late end may better the recorded one, as far as its own attempt goes; what its trial does is looked at
    after.
    """
    return AttemptEvent.ADOPT in ATTEMPT_TRANSITIONS[outcome] and end.attempt_event is AttemptEvent.SCORE


def first_at_each(crossings: Iterable[Crossing]) -> list[Crossing]:
    """The first crossing of each rung, lowest rung first: the order in which rungs are written to, so that no two
    writers deadlock.

    Raises ScoreNotFinite for a value that cannot be ranked.
    """
    first: dict[int, Crossing] = {}
    for each in crossings:
        if not math.isfinite(each.value):
            raise ScoreNotFinite(f"rung {each.rung} holds finite numbers, not {each.value}")
        first.setdefault(each.rung, replace(each, value=float(each.value), resource=float(each.resource)))
    return [first[rung] for rung in sorted(first)]


def checked_budget(study: StudyRecord, budget: Mapping[str, Any]) -> dict[str, Any]:
    """The study's spec with this budget. Raises IllegalTransition for one of fewer trials: some of those may have
    begun.
    """
    had = study.budget
    if budget["trials"] < had:
        raise IllegalTransition(
            f"study {study.name} has a budget of {had} trials: it can only be given more, not {budget['trials']}"
        )
    return {**study.spec, "budget": dict(budget)}


def not_deletable(study: StudyRecord, promoted: int | None) -> IllegalTransition | None:
    """Why the study may not be deleted, if so; `promoted` is its trial that became champion."""
    if promoted is not None:
        return IllegalTransition(
            f"study {study.name} gave {study.schedule} a champion (trial {promoted}): it is the evidence and stays"
        )
    if study.state not in CLOSED:
        return IllegalTransition(
            f"study {study.name} is {study.state}: it cannot be deleted; `celeriac stop {study.name}` ends it first"
        )
    return None


def unknown_study(wanted: int | str, names: Iterable[str]) -> UnknownStudy:
    """The error, naming the nearest existing names."""
    if isinstance(wanted, int):
        return UnknownStudy(f"no study has the id {wanted}; `celeriac status` lists all")
    return UnknownStudy(f"no study is named {wanted!r}{_nearest(wanted, names)}; `celeriac status` lists all")


def unknown_schedule(wanted: str, names: Iterable[str]) -> UnknownSchedule:
    """The error, naming the existing schedules."""
    known = ", ".join(sorted(names)) or "none yet"
    return UnknownSchedule(f"no schedule is named {wanted!r} (existing: {known})")


def unknown_promotion(promotion: int) -> CallerError:
    """The error of a verdict that is not there."""
    return CallerError(f"there is no promotion {promotion}; `celeriac champions --history` lists all")


def unknown_trial(study_id: int, number: int, attempt: int | None = None) -> UnknownTrial:
    """The error, naming the trial and, if it was asked for, the attempt."""
    which = f"trial {number}" if attempt is None else f"attempt {attempt} of trial {number}"
    return UnknownTrial(f"study {study_id} has no {which}; `celeriac trials` lists all")


def duplicate_study(name: str) -> DuplicateStudy:
    """The error that names the study and what can be done; the caller knows the specs and their difference."""
    return DuplicateStudy(
        f"a study named {name!r} exists already: attach to it, or submit under another `--name`", difference=[]
    )


def stale_turn(name: str, found: int, decided: int) -> StaleTurn:
    """The error that names the study and both turns."""
    return StaleTurn(
        f"study {name} is at turn {found}, this write was decided at turn {decided}: read it again, decide again"
    )


def stale_firing(firing: Firing, decided: int) -> StaleTurn:
    """The error that names the firing and both turns."""
    return StaleTurn(
        f"firing {firing.name} is {firing.state} at turn {firing.turn}, this move was decided at turn {decided}: read"
        " it again, decide again"
    )


def another_champion(verdict: Champion) -> StaleTurn:
    """The error of a promotion over a champion that is not the slice's any more."""
    where = full_slice_name(verdict.schedule, verdict.slice)
    return StaleTurn(
        f"{where} has another champion by now than this was compared with: look at it (`celeriac champions`), decide"
        " again"
    )


def unknown_firing(firing_id: int) -> UnknownSchedule:
    """The error that names it."""
    return UnknownSchedule(f"no firing has the id {firing_id}; `celeriac schedule show NAME` lists a schedule's")


def with_points(study: StudyRecord, count: int) -> dict[str, Any]:
    """The spec of a study that is given so many points more: its budget is all of them."""
    return {**study.spec, "budget": {"trials": study.next_number + count}}


def not_running(name: str, state: str, verb: str) -> IllegalTransition:
    """The error of a coordinator's write to a study that does not run."""
    return IllegalTransition(f"study {name} is {state}: it cannot {verb} (possible when it is RUNNING)")


def moved_meanwhile(name: str) -> IllegalTransition:
    """The error of a coordinator's write whose trials are no longer where its decision saw them."""
    return IllegalTransition(f"study {name} was moved meanwhile: read it again, decide again")


def not_cancelled(study_id: int, number: int, attempt: int) -> IllegalTransition:
    """The error of a cancelled ticket that means nothing now."""
    return IllegalTransition(
        f"attempt {attempt} of trial {number} of study {study_id} cannot be cancelled here: it has ended, or another"
        " host has it"
    )


@dataclass(frozen=True, slots=True)
class TicketFound:
    """What a ticket for this `attempt` of a trial found: the trial, and its study with how many of its trials run."""

    name: str
    study_state: str
    running: int
    number: int
    state: str
    attempts: int
    attempt: int

    @property
    def is_stale(self) -> bool:
        """Whether it is for another attempt than the next, or of a trial that cannot be leased."""
        return self.attempts != self.attempt - 1 or self.state not in sources(TRIAL_TRANSITIONS, TrialEvent.LEASE)


def refused(found: TicketFound) -> Refusal:
    """Why a ticket became no lease: it is stale, or it came early or late for its study."""
    if found.is_stale:
        return Refusal(
            f"stale ticket: trial {found.number} of {found.name} is {found.state} after {found.attempts} attempts"
        )
    if found.study_state != StudyState.RUNNING:
        return Refusal(f"study {found.name} is {found.study_state}: the trial waits")
    return Refusal(f"{found.running} trials of {found.name} run, as many as `parallel` allows: this one waits")


def not_joined(found: TicketFound) -> Refusal:
    """Why a slot that came to a gang is no member of it: the ticket is stale, or the gang needs nobody more."""
    if found.is_stale or found.study_state != StudyState.RUNNING:
        return refused(found)
    return Refusal(
        f"trial {found.number} of {found.name} needs no slot more: its gang is complete, or {found.running} trials are"
        " as many as `parallel` allows"
    )


def membership_lost(token: str, attempt: Attempt | None) -> LeaseLost:
    """The error of a member's token that opens nothing any more; `attempt`: rank 0's, whose lease it was as well."""
    if attempt is not None and attempt.outcome is not None:
        return lease_lost(token, attempt)
    return LeaseLost(
        f"the membership {token[:8]}… is gone: it was given back or given up; stop, write nothing",
        reason="its membership has ended",
    )


def another_replay(found: Replay) -> IllegalTransition:
    """The error of asking for past nights while others of that schedule are asked for."""
    return IllegalTransition(
        f"schedule {found.schedule} runs the nights of {found.first_day} to {found.last_day} already, as {found.who}"
        " asked: wait until they have ended, or stop that first"
    )


def lease_lost(token: str, attempt: Attempt | None) -> LeaseLost:
    """The error of a token that opens nothing any more: who ended its attempt, and why."""
    if attempt is None:
        return LeaseLost(f"no attempt has the lease {token[:8]}…: stop, write nothing", reason="unknown lease")
    thing = f"the lease of trial {attempt.trial}, attempt {attempt.number}, on {attempt.worker}"
    if attempt.outcome is None:
        return LeaseLost(f"{thing} holds until {attempt.lease_until}", reason="its lease was prolonged")
    reason = {Outcome.SUPERSEDED: "its lease ran out", Outcome.RELEASED: "it was released"}.get(
        attempt.outcome, f"it ended already: {attempt.outcome}"
    )
    reason = f"{reason} ({attempt.detail})" if attempt.detail else reason
    return LeaseLost(f"{thing} is gone: {reason}; stop, write nothing", reason=reason)


def _nearest(wanted: str, names: Iterable[str]) -> str:
    near = get_close_matches(wanted, list(names), n=3, cutoff=0.5)
    return f" (nearest: {', '.join(near)})" if near else ""
