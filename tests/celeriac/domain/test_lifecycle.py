"""The lifecycle tables: complete, without dead ends but the ends, and illegal moves named with what is possible."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pytest

from celeriac.domain.errors import IllegalTransition
from celeriac.domain.lifecycle import (
    AGAIN,
    ATTEMPT_TRANSITIONS,
    FIRING_TRANSITIONS,
    STUDY_TRANSITIONS,
    TRIAL_TRANSITIONS,
    AttemptEvent,
    FiringEvent,
    StudyEvent,
    TrialEvent,
    moved,
    sources,
)
from celeriac.domain.records import (
    CLOSED,
    ENDED,
    FINISHED,
    WORKING,
    Counts,
    FiringState,
    Outcome,
    Stage,
    StudyState,
    TrialState,
)

#: What leads on from an end: nothing does so by itself.
BY_A_PERSON = {TrialEvent.RERUN, StudyEvent.EXTEND, StudyEvent.REOPEN, FiringEvent.APPROVE, *AGAIN.values()}
TABLES: list[tuple[Mapping[Any, Mapping[Any, Any]], set[Any], type[StrEnum], set[Any], Any]] = [
    (TRIAL_TRANSITIONS, set(TrialState), TrialEvent, {*ENDED}, TrialState.WAITING),
    (STUDY_TRANSITIONS, set(StudyState), StudyEvent, {*CLOSED}, StudyState.OPEN),
    (FIRING_TRANSITIONS, set(FiringState), FiringEvent, {*FiringState} - {*WORKING}, FiringState.DUE),
    (ATTEMPT_TRANSITIONS, {None, *Outcome}, AttemptEvent, {*Outcome} - {Outcome.SUPERSEDED}, None),
]


@pytest.mark.parametrize(("table", "states", "events", "ends", "start"), TABLES)
def test_every_state_and_event_has_its_place(
    table: Mapping[Any, Mapping[Any, Any]], states: set[Any], events: type[StrEnum], ends: set[Any], start: Any
) -> None:
    assert set(table) == states
    assert {event for moves in table.values() for event in moves} == set(events)
    assert {state for state, moves in table.items() if not set(moves) - BY_A_PERSON} == ends
    assert {after for moves in table.values() for after in moves.values()} | {start} == states


@pytest.mark.parametrize(("table", "states", "events", "ends", "start"), TABLES)
def test_every_state_can_be_reached_and_left_for_an_end(
    table: Mapping[Any, Mapping[Any, Any]], states: set[Any], events: type[StrEnum], ends: set[Any], start: Any
) -> None:
    assert reachable(table, start) == states
    for state in states - ends:
        assert reachable(table, state) & ends, state


@pytest.mark.parametrize("state", list(TrialState))
@pytest.mark.parametrize("event", list(TrialEvent))
def test_a_move_is_the_tables_or_an_error(state: TrialState, event: TrialEvent) -> None:
    if event in TRIAL_TRANSITIONS[state]:
        assert moved(TRIAL_TRANSITIONS, state, event, thing="trial 3") is TRIAL_TRANSITIONS[state][event]
        assert state in sources(TRIAL_TRANSITIONS, event)
    else:
        with pytest.raises(IllegalTransition, match=f"trial 3 is {state}: it cannot {event}"):
            moved(TRIAL_TRANSITIONS, state, event, thing="trial 3")
        assert state not in sources(TRIAL_TRANSITIONS, event)


def test_an_error_names_what_is_possible() -> None:
    with pytest.raises(IllegalTransition, match=r"possible now: cancel, queue\)"):
        moved(TRIAL_TRANSITIONS, TrialState.PAUSED, TrialEvent.LEASE, thing="trial 3")
    with pytest.raises(IllegalTransition, match="none, it is at its end"):
        moved(TRIAL_TRANSITIONS, TrialState.SCORED, TrialEvent.RERUN, thing="trial 3")
    with pytest.raises(IllegalTransition, match=r"possible now: extend, reopen\)"):
        moved(STUDY_TRANSITIONS, StudyState.DONE, StudyEvent.PAUSE, thing="study digits")


def test_a_user_can_cancel_whatever_is_open() -> None:
    assert set(sources(TRIAL_TRANSITIONS, TrialEvent.CANCEL)) == set(TrialState) - ENDED


def test_only_a_running_trial_uses_the_budget() -> None:
    """Or one that did run, and whose score was only late: nothing else of it ends a trial that waits."""
    for state, moves in TRIAL_TRANSITIONS.items():
        ends = {event: after for event, after in moves.items() if after in FINISHED}
        assert state is TrialState.RUNNING or ends in ({}, {TrialEvent.ADOPT: TrialState.SCORED})
    assert set(sources(TRIAL_TRANSITIONS, TrialEvent.ADOPT)) == {TrialState.WAITING, TrialState.QUEUED}


def test_each_stage_has_a_state_in_which_it_is_at_work_and_a_way_back_to_it() -> None:
    for stage in Stage:
        [state] = [state for state, its in WORKING.items() if its is stage]
        assert {moves.get(AGAIN[stage]) for moves in FIRING_TRANSITIONS.values()} == {None, state}
    assert FIRING_TRANSITIONS[FiringState.PROMOTED] == {}, "a promotion is undone by a roll-back, not by its firing"
    promoting = {state for state, moves in FIRING_TRANSITIONS.items() if FiringState.PROMOTED in moves.values()}
    assert promoting == {FiringState.CONFIRMING, FiringState.KEPT}, "nothing is promoted that was not confirmed"


def test_counts_have_a_field_for_each_state() -> None:
    counts = Counts(**{state.lower(): 2**place for place, state in enumerate(TrialState)})
    finished = sum(getattr(counts, state.lower()) for state in FINISHED)
    assert counts.finished == finished
    assert counts.ended == finished + counts.cancelled
    assert counts.open + counts.ended == 2 ** len(TrialState) - 1


def reachable(table: Mapping[Any, Mapping[Any, Any]], start: Any) -> set[Any]:
    """All states that some way of events leads to."""
    found, ahead = {start}, [start]
    while ahead:
        for after in table[ahead.pop()].values():
            if after not in found:
                found.add(after)
                ahead.append(after)
    return found
