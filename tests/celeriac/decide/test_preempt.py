"""Who has waited too long, what may be taken from whom, and which trials are asked back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.decide.preempt import Shortage, short_since, shortages, whom_to_ask_back
from celeriac.decide.share import Slots, class_shares
from celeriac.domain.records import Claim, Resources, RunningAttempt
from tests.celeriac.decide.test_share import claim

NOW = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)
LIGHT, HEAVY = 1, 2


def scene(light: dict[str, Any], heavy: dict[str, Any]) -> list[Claim]:
    return [claim(LIGHT, **light), claim(HEAVY, **{"weight": 8.0, **heavy})]


def taken(claims: list[Claim], slots: int, after_s: float = 120.0, waited_s: float = 120.0) -> dict[int, Shortage]:
    """What is taken for whom, after so long."""
    since = short_since({}, claims, Slots(cpu=slots), 0.0)
    return {each.study_id: each for each in shortages(since, claims, Slots(cpu=slots), waited_s, after_s)}


def running(number: int, study_id: int = LIGHT, saved_s: float | None = 10.0, **more: Any) -> RunningAttempt:
    """An attempt that wrote a checkpoint so many seconds ago."""
    saved_at = None if saved_s is None else NOW - timedelta(seconds=saved_s)
    told = {"preempted_at": None, "preempted_before_at": None, **more}
    began = NOW - timedelta(hours=2)
    return RunningAttempt(f"t{study_id}.{number}", study_id, "light", number, 1, "w", began, saved_at=saved_at, **told)


def test_a_study_takes_its_share_from_who_holds_more_and_matters_clearly_less_once_it_has_waited() -> None:
    claims = scene({"running": 8}, {})
    assert taken(claims, 8, waited_s=119.0) == {}
    assert taken(claims, 8)[HEAVY] == Shortage(HEAVY, 8.0, 8, 120.0, {LIGHT: 7})  # 7.1 of 8 slots are its part
    assert taken(scene({"running": 1}, {"running": 7}), 8) == {}
    assert taken(scene({"running": 7}, {"running": 1}), 8)[HEAVY].of == {LIGHT: 6}
    assert taken(scene({"running": 7}, {}), 8) == {}  # a slot is free, it needs to take none
    assert taken(scene({"running": 8}, {"ready": 0}), 8) == {}  # it has nothing to run yet
    assert taken(scene({"running": 8}, {"may_run": False}), 8) == {}


def test_between_weights_that_do_not_differ_clearly_nothing_is_taken() -> None:
    assert taken(scene({"running": 8}, {"weight": 2.99}), 8) == {}
    assert HEAVY in taken(scene({"running": 8}, {"weight": 3.0}), 8)
    assert taken([claim(k, running=8 * (k == 1)) for k in range(4)], 8) == {}


def test_who_has_no_slot_at_all_may_take_one_from_a_study_that_holds_no_more_than_its_share() -> None:
    assert taken(scene({"running": 1}, {}), 1)[HEAVY].of == {LIGHT: 1}
    others = [claim(k, running=1, weight=0.1 * k) for k in range(1, 5)]
    found = taken([*others, claim(9, weight=8.0)], 4)
    assert found[9].of == {1: 1}, "the lightest gives it"
    assert taken([*others[1:], claim(9, weight=8.0, running=1)], 4) == {}, "once it has one, shares decide"


def test_tickets_that_lie_ahead_take_slots_first_so_as_many_more_are_asked_back() -> None:
    assert taken(scene({"running": 8, "queued": 2}, {"weight": 3.0}), 8)[HEAVY].trials == 6 + 2


def test_gpu_trials_and_cpu_trials_do_not_take_from_each_other_and_gangs_do_neither() -> None:
    fleet = Slots(gpu=2, cpu=2)
    for gpus, other in ((1, 0), (0, 1)):
        claims = [claim(LIGHT, running=4, gpus=other), claim(HEAVY, weight=8.0, gpus=gpus)]
        since = short_since({}, claims, fleet, 0.0)
        assert shortages(since, claims, fleet, 1000.0, 120.0) == []
    gang = [replace(each, resources=Resources(slots=2)) for each in scene({"running": 4}, {})]
    for claims in ([gang[0], claim(HEAVY, weight=8.0)], [claim(LIGHT, running=8), gang[1]]):
        assert taken(claims, 8) == {}


def test_the_wait_begins_when_it_becomes_short_and_is_forgotten_when_it_is_not() -> None:
    claims, slots = scene({"running": 8}, {}), Slots(cpu=8)
    since = short_since({}, claims, slots, 100.0)
    assert since == {HEAVY: 100.0}
    assert short_since(since, claims, slots, 200.0) == since
    assert short_since(since, scene({}, {"running": 8}), slots, 200.0) == {LIGHT: 200.0}


def test_those_that_wrote_a_checkpoint_last_are_asked_and_told_why() -> None:
    shortage = Shortage(HEAVY, 8.0, 2, 130.0, {LIGHT: 3})
    attempts = [running(0, saved_s=30.0), running(1, saved_s=5.0), running(2, saved_s=20.0)]
    decision = whom_to_ask_back(shortage, "flights", attempts, NOW)
    assert decision.tokens == ("t1.1", "t1.2")
    assert decision.reason == "study flights of weight 8 has waited 130 s for its share of the slots"
    few = whom_to_ask_back(replace(shortage, of={LIGHT: 1}), "flights", attempts, NOW)
    assert few.tokens == ("t1.1",)


@pytest.mark.parametrize(
    "attempt",
    [running(0, saved_s=None), running(0, saved_s=61.0), running(0, preempted_before_at=NOW - timedelta(seconds=3599))],
    ids=["without a checkpoint", "with an old one", "asked back within the hour"],
)
def test_a_trial_that_would_lose_work_or_was_asked_back_lately_is_left_alone(attempt: RunningAttempt) -> None:
    shortage = Shortage(HEAVY, 8.0, 1, 130.0, {LIGHT: 1})
    assert whom_to_ask_back(shortage, "flights", [attempt], NOW).tokens == ()
    rested = running(0, saved_s=60.0, preempted_before_at=NOW - timedelta(seconds=3600))
    assert whom_to_ask_back(shortage, "flights", [rested], NOW).tokens == ("t1.0",)


def test_one_that_was_asked_and_still_runs_counts_as_a_slot_that_comes() -> None:
    shortage = Shortage(HEAVY, 8.0, 1, 130.0, {LIGHT: 2})
    asked = running(0, preempted_at=NOW - timedelta(seconds=5))
    assert whom_to_ask_back(shortage, "flights", [asked, running(1)], NOW).tokens == ()


counts = st.integers(0, 6)


@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.5, 1.0, 3.0, 10.0]), counts, counts, counts), min_size=1, max_size=6),
    st.integers(1, 12),
)
def test_nobody_takes_more_than_its_part_or_gives_more_than_it_has(
    studies: list[tuple[float, int, int, int]], slots: int
) -> None:
    claims = [
        claim(k, weight=weight, running=held, queued=queued, ready=ready)
        for k, (weight, held, queued, ready) in enumerate(studies)
    ]
    fleet = Slots(cpu=slots)
    fair = class_shares(0, claims, fleet).fair
    by_id = {each.study_id: each for each in claims}
    for each in shortages(dict.fromkeys(by_id, 0.0), claims, fleet, 500.0, 120.0):
        taker = by_id[each.study_id]
        assert taker.running < fair[each.study_id]
        for study_id, count in each.of.items():
            giver = by_id[study_id]
            assert taker.weight >= 3.0 * giver.weight
            assert 0 < count <= giver.running
            assert giver.running - count >= fair.get(study_id, 0) or (taker.running == 0 and count == 1)
