"""Nights that are disturbed: a stage is stopped or deleted, programs crash at any call, two coordinators are at it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from celeriac.domain.errors import StaleTurn, StoreUnavailable
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import FiringState, Lease, NewStudy, Stage, StudyState
from celeriac.store.api import AttemptEnd
from coordinator.nights import step, step_all, study_closed
from coordinator.reaper import resend
from coordinator.schedules import fire_due
from coordinator.turn import drive_all
from tests.coordinator.house import House, with_slots
from tests.coordinator.nightlife import (
    BETTER,
    BLOCKS,
    DUE,
    NO_BETTER,
    another_seed,
    fire,
    house_with,
    put_schedule,
    scored,
    told,
    whole_night,
    with_champion,
    work,
)
from tests.memory_store import MemoryStore


@pytest.mark.parametrize("stage", [Stage.LOOK, Stage.SEARCH, Stage.CONFIRM])
def test_a_person_who_stops_a_stage_does_not_stop_the_night(stage: Stage) -> None:
    house = with_champion()
    another_seed(house, 99)
    [old] = house.store.champions("flights")

    def stops(lease: Lease) -> AttemptEnd:
        study = house.store.study(lease.study_id)
        if study.stage is stage and lease.number >= min(1, study.next_number - 1):
            house.store.move_study(study.id, StudyEvent.STOP, "enough")
        better = lease.params not in (old.params, study.spec["default"])
        return scored(0.2 if better else 0.4, (0.2 if better else 0.4,) * 24)

    def train(lease: Lease) -> AttemptEnd:
        return stops(lease)

    firing = fire(house)
    for _ in range(40):
        drive_all(house.coordinator)
        tickets = house.mailbox.queues["trials.cpu"]
        while tickets:
            lease = house.lease(house.take())
            if lease is not None:
                end = train(lease)
                if house.store.study(lease.study_id).state is not StudyState.STOPPED:
                    house.store.finish_attempt(lease.token, end)
    after = house.store.firing(firing.id)
    assert after.state in (FiringState.KEPT, FiringState.PROMOTED)
    assert [study.state for study in house.store.stage_studies([firing.id]) if study.stage is stage] == [
        StudyState.STOPPED
    ]


def test_a_night_whose_only_study_is_deleted_is_gone_with_it() -> None:
    house = house_with()
    firing = fire(house)
    [search] = house.store.stage_studies([firing.id])
    house.store.move_study(search.id, StudyEvent.STOP, "enough")
    house.store.delete_study(search.id)
    step_all(house.store, house.mailbox)
    assert house.store.firings("flights") == []


def test_a_night_one_of_whose_stages_is_deleted_fails_with_the_reason() -> None:
    house = house_with()
    firing = fire(house)
    while house.store.firing(firing.id).state is not FiringState.CONFIRMING:
        drive_all(house.coordinator)
        lease = house.lease(house.take())
        assert lease is not None
        house.store.finish_attempt(lease.token, BETTER(lease))
    confirm = house.store.stage_studies([firing.id])[-1]
    house.store.move_study(confirm.id, StudyEvent.STOP, "enough")
    house.store.delete_study(confirm.id)
    step_all(house.store, house.mailbox)
    after = house.store.firing(firing.id)
    assert (after.state, after.reason) == (FiringState.FAILED, "the study of its confirm is gone: somebody deleted it")


def test_a_firing_whose_plan_cannot_be_read_fails_with_the_reason() -> None:
    house = house_with()
    made = house.store.fire(DUE, NewStudy("odd", {"study": "odd"}, "minimize", schedule="flights"))
    assert made is not None
    step_all(house.store, house.mailbox)
    after = house.store.firing(made.id)
    assert after.state is FiringState.FAILED
    assert "cannot read what it was made with" in after.reason


def test_a_search_that_goes_on_is_decided_again_with_the_champions_runs_that_are_there() -> None:
    house = house_with()
    another_seed(house, 3)
    firing = whole_night(house, NO_BETTER)
    assert firing.state is FiringState.KEPT
    search = house.store.stage_studies([firing.id])[0]
    house.store.extend_study(search.id, {"trials": 8}, "a person wants more")
    work(house, BETTER)
    after = house.store.firing(firing.id)
    assert after.state is FiringState.PROMOTED
    assert len(house.store.verdicts("flights")) == 1
    confirm = house.store.stage_studies([firing.id])
    assert len([study for study in confirm if study.stage is Stage.CONFIRM]) == 1


def test_a_study_of_no_schedule_has_no_verdict() -> None:
    house = House()
    study = house.store.create_study(NewStudy("alone", {}, "minimize"))
    assert study_closed(house.store, house.mailbox, study) == ""


class Dying(MemoryStore):
    """A store that stops to answer at its n-th call, for one call; where `after`, the call is made all the same."""

    def __init__(self, clock: Callable[[], Any]) -> None:
        super().__init__(clock)
        self.left, self.after, self.programs = -1, False, False

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or name in ("left", "after", "programs") or not callable(found) or not self.programs:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left == 0 and not self.after:
                raise StoreUnavailable("gone before it was done")
            made = found(*args, **kwargs)
            if self.left == 0:
                raise StoreUnavailable("gone after it was done")
            return made

        return call


def dying_house(at: int, after: bool) -> tuple[House, Dying]:
    house = House(slots=2)
    house.store = store = Dying(house.clock)
    house.restart()
    with_slots(store, 2)
    put_schedule(house)
    store.left, store.after = at, after
    return house, store


def survive(house: House, store: Dying) -> None:
    """As `work`, by programs that are started again whenever the store is away."""
    for _ in range(300):
        store.programs = True
        try:
            fire_due(store, house.mailbox)
            drive_all(house.coordinator)
            resend(store, house.mailbox)
        except StoreUnavailable:
            house.restart()
        store.programs = False
        tickets = house.mailbox.queues["trials.cpu"]
        while tickets:
            lease = house.lease(house.take())
            if lease is not None:
                store.finish_attempt(lease.token, BETTER(lease))
        house.wait(5)
        if store.firings("flights") and not store.studies_to_drive() and not store.firings_to_move():
            return
    raise AssertionError("the night does not end")


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_call_of_the_store_changes_nothing_of_the_night(after: bool) -> None:
    smooth, undisturbed = dying_house(-1, after)
    survive(smooth, undisturbed)
    [whole] = undisturbed.firings("flights")
    assert undisturbed.left < -80, "calls of the programs in one night"
    for at in range(1, -undisturbed.left):
        house, store = dying_house(at, after)
        survive(house, store)
        [firing] = store.firings("flights")
        assert (told(firing), firing.reason) == (told(whole), whole.reason), at
        [verdict] = store.verdicts("flights")
        assert verdict.promoted
        assert [(s.name, s.spec["budget"], s.counts) for s in store.stage_studies([firing.id])] == [
            (s.name, s.spec["budget"], s.counts) for s in undisturbed.stage_studies([whole.id])
        ], at


def test_two_coordinators_at_every_move_do_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    house = house_with()
    alone, refused = house.store.move_firing, []

    def both(firing_id: int, turn: int, move: Any) -> Any:
        monkeypatch.setattr(house.store, "move_firing", alone)
        try:
            step(house.store, house.mailbox, firing_id)  # the other one is faster
        finally:
            monkeypatch.setattr(house.store, "move_firing", both)
        try:
            return alone(firing_id, turn, move)
        except StaleTurn:
            refused.append(turn)
            raise

    monkeypatch.setattr(house.store, "move_firing", both)
    firing = whole_night(house, BETTER)
    assert told(firing) == ["DUE", "SEARCHING", "CONFIRMING", "PROMOTED"]
    assert len(refused) == 3
    assert len(house.store.verdicts("flights")) == 1
    assert len(house.store.stage_studies([firing.id])) == 2


def test_a_loss_that_explodes_in_a_pair_fails_the_night_and_no_later_one() -> None:
    house = house_with()

    def explodes(lease: Lease) -> AttemptEnd:
        end = BETTER(lease)
        is_pair = house.store.study(lease.study_id).stage is Stage.CONFIRM
        return replace(end, score=1e200, holdout=(1e200,) * BLOCKS) if is_pair and lease.number == 1 else end

    firing = whole_night(house, explodes)
    assert (firing.state, "too large to be squared" in firing.reason) == (FiringState.FAILED, True)
    assert whole_night(house, BETTER).state is FiringState.PROMOTED


def test_scores_too_large_to_be_pooled_are_left_out_of_later_nights() -> None:
    house = house_with()

    def a_pair_explodes(lease: Lease) -> AttemptEnd:
        is_pair = house.store.study(lease.study_id).stage is Stage.CONFIRM
        return scored(1e200, (1e200,) * BLOCKS) if is_pair and lease.number < 2 else NO_BETTER(lease)

    assert whole_night(house, a_pair_explodes).state is FiringState.KEPT
    assert house.store.verdicts("flights")[0].evidence["gate"]["asked"]["pairs"], "the gate had an answer"
    assert whole_night(house, BETTER).state is FiringState.PROMOTED


def test_a_night_that_cannot_be_decided_fails_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    house = with_champion()

    def raises(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("celeriac.decide.night.paying.decide_pays", raises)
    firing = whole_night(house, BETTER)
    assert firing.state is FiringState.FAILED
    assert firing.reason.startswith("its next move cannot be decided (ZeroDivisionError: division by zero)")
    monkeypatch.undo()
    assert whole_night(house, BETTER).state in (FiringState.KEPT, FiringState.SKIPPED)
