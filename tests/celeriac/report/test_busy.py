"""How busy a slot was: every second is either training or idle for one reason."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.domain.records import PutAside, SlotRun
from celeriac.report.busy import Busy, Idle, busy_of, full_spans, together

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SLOT = "gpu0.s0@here"


def at(second: float) -> datetime:
    return NOON + timedelta(seconds=second)


def run(leased: float, ended: float | None, *, trained: float = 0.0, ready: float = -9, opened: float = -99) -> SlotRun:
    return SlotRun(SLOT, at(leased), None if ended is None else at(ended), trained, at(opened), at(ready))


def busy(*runs: SlotRun, until: float = 100.0, asides: tuple[PutAside, ...] = ()) -> Busy:
    return busy_of(runs, asides, NOON, at(until))


def test_a_slot_that_only_trains_is_busy() -> None:
    found = busy(run(0, 50, trained=50), run(50, None))
    assert (found.share, found.idle_s, str(found)) == (1.0, {}, "100 % busy")


def test_what_lies_around_the_training_is_start() -> None:
    found = busy(run(1, 50, trained=45), run(52, 100, trained=47))
    assert found.busy_s == 92.0
    assert found.idle_s == {Idle.START: 8.0}
    assert str(found) == "92 % busy (idle: start 8 %)"


def test_a_trial_that_was_suggested_late_is_the_models_fault() -> None:
    found = busy(run(0, 40, trained=40), run(61, 100, trained=39, ready=60))
    assert found.idle_s == {Idle.MODEL: 20.0, Idle.START: 1.0}


def test_before_a_study_and_after_the_last_trial_there_is_no_work() -> None:
    found = busy(run(30.5, 80, trained=49.5, opened=30, ready=30.25))
    assert found.idle_s == {Idle.WORK: 50.0, Idle.MODEL: 0.25, Idle.START: 0.25}
    assert found.reasons() == [(Idle.WORK, 0.5)]


def test_a_trial_that_waited_long_for_its_turn_was_no_work_for_this_slot() -> None:
    assert busy(run(0, 10, trained=10), run(60, 100, trained=40)).idle_s == {Idle.WORK: 50.0}


def test_a_slot_that_was_put_aside_is_drained() -> None:
    aside = PutAside(SLOT, 0, "sick", at(20), at(90))
    assert busy(run(0, 10, trained=10), asides=(aside,)).idle_s == {Idle.DRAIN: 70.0, Idle.WORK: 20.0}


def test_a_run_from_before_the_window_counts_from_its_begin() -> None:
    assert busy(run(-50, 20, trained=70), run(20, None)).busy_s == 100.0


def test_several_slots_together() -> None:
    both = together([busy(run(0, None)), busy(until=100)])
    assert (both.share, both.idle_s) == (0.5, {Idle.WORK: 100.0})
    assert together([]).share == 0.0


@given(st.lists(st.tuples(*[st.floats(0, 20)] * 4), max_size=8), st.booleans())
def test_every_second_is_accounted_for(steps: list[tuple[float, ...]], open_at_last: bool) -> None:
    runs: list[Any] = []
    clock = -5.0
    for gap, trained, around, ready in steps:
        leased, ended = clock + gap, clock + gap + trained + around
        runs.append(run(leased, ended, trained=trained, ready=clock + ready - 5, opened=clock - 3))
        clock = ended
    if runs and open_at_last:
        runs[-1] = run((runs[-1].leased_at - NOON).total_seconds(), None)
    found = busy(*[each for each in runs if each.ended_at is None or each.ended_at > NOON], until=max(clock, 0.0) + 7.0)
    assert found.busy_s + sum(found.idle_s.values()) == pytest.approx(found.window_s, abs=1e-4)
    assert min([found.busy_s, *found.idle_s.values()]) >= 0


def held(leased: float, ended: float | None, *, ready: float = -9, share: float = 0.25, gib: int = 30) -> SlotRun:
    found = run(leased, ended, ready=ready)
    return replace(found, device="GPU-1", share=share, memory_bytes=gib * 2**30)


def test_a_slot_whose_gpu_has_no_memory_left_for_who_waits_says_so() -> None:
    others = [held(0, 50), held(0, 60)]
    late = held(50, 90, ready=20)
    full = full_spans([*others, late], 80 * 2**30)
    assert full == [(at(20), at(50))], "60 of 80 GiB are held, and a third one wants 30"
    assert full_spans([*others, late], 100 * 2**30) == []
    wide = held(60, 90, ready=20, share=0.8, gib=1)
    assert full_spans([*others, wide], 80 * 2**30) == [(at(20), at(50)), (at(50), at(60))], "or of its share"
    assert full_spans([*others, held(50, 90, ready=46)], 80 * 2**30) == [], "what comes at once did not wait"
    idle = busy_of([], (), NOON, at(100), full)
    assert idle.idle_s == {Idle.MEMORY: 30.0, Idle.WORK: 70.0}
    waits = busy_of([late], (), NOON, at(90), full)
    assert waits.idle_s[Idle.MEMORY] == 30.0
    assert sum(waits.idle_s.values()) + waits.busy_s == 90.0
