"""A study's turns and their suggestions: nobody waits, a better one replaces, all can be replayed."""

import logging
import random
from dataclasses import replace
from typing import Any

import pytest

from celeriac.decide.turn import NextDecision, what_next
from celeriac.domain.records import Fault, Snapshot, StudyRecord, StudyState, TrialState
from celeriac.runtime.broker import CPU_QUEUE
from coordinator.reaper import resend
from coordinator.suggest.replay import replayed
from coordinator.turn import Coordinator, drive
from tests.coordinator.house import LEASE_S, Here, House, Weather, open_study, states


def test_a_turn_does_not_wait_for_suggestions_and_takes_them_when_they_are_there() -> None:
    house = House(slots=2)
    study = open_study(house.store)
    house.suggesters.delayed = True
    assert "on their way" in drive(house.coordinator, study.id)
    assert states(house, study.id) == ["QUEUED"]  # the default needs no sampler
    assert "on their way" in drive(house.coordinator, study.id)
    assert states(house, study.id) == ["QUEUED", "QUEUED"]
    assert [question.count for question in house.suggesters.asked] == [1, 2]
    drive(house.coordinator, study.id)
    assert states(house, study.id) == ["QUEUED", "QUEUED", "QUEUED", "WAITING"]


def test_suggestions_outlive_the_tickets_that_were_sent_meanwhile() -> None:
    house = House(slots=2)
    study = open_study(house.store)
    drive(house.coordinator, study.id)
    first, second = house.lease(house.take()), house.lease(house.take())
    assert first is not None
    assert second is not None
    house.suggesters.delayed = True
    house.finish(first, 0.5)
    assert "on their way" in drive(house.coordinator, study.id)
    asked, sent = len(house.suggesters.asked), len(house.mailbox.sent)
    house.fail(second, Fault.INFRASTRUCTURE)
    drive(house.coordinator, study.id)  # sends the ticket of the retry, and takes what was asked for before
    assert house.mailbox.sent[sent][2] == "digits-1-2"
    assert [trial.why["observed"] for trial in house.store.trials(study.id, after=3)] == [1, 1, 1]
    assert len(house.suggesters.asked) == asked


def test_suggestions_for_a_study_that_somebody_else_moved_on_are_dropped() -> None:
    house = House(slots=1)
    study = open_study(house.store, default=None)
    house.suggesters.delayed = True
    drive(house.coordinator, study.id)
    other = Coordinator(house.store, house.mailbox, Here(house.store))
    drive(other, study.id)
    trials = house.store.trials(study.id)
    house.suggesters.delayed = False
    drive(house.coordinator, study.id)
    assert house.store.trials(study.id) == trials
    assert [question.first for question in house.suggesters.asked] == [0]


def long_study(house: House, ended: int, mean_s: float = 60.0) -> StudyRecord:
    """A study with that many trials of such a length behind it, each worse than the one before."""
    study = open_study(house.store)
    drive(house.coordinator, study.id)
    for number in range(ended):
        lease = house.lease(house.take())
        assert lease is not None
        house.finish(lease, 1.0 + number, device_s=mean_s)
        drive(house.coordinator, study.id)
    return study


def test_waiting_suggestions_are_made_anew_when_a_better_trial_has_ended() -> None:
    house = House(slots=3)
    study = long_study(house, 12)
    leases = [house.lease(house.take()) for _ in house.mailbox.queues[CPU_QUEUE][:3]]
    drive(house.coordinator, study.id)
    before = {trial.number: trial for trial in house.store.trials(study.id)}
    waiting = [trial.number for trial in before.values() if trial.state is TrialState.WAITING]
    assert len(waiting) == 2
    assert leases[0] is not None
    house.finish(leases[0], 0.1, device_s=60.0)
    drive(house.coordinator, study.id)
    after = {trial.number: trial for trial in house.store.trials(study.id)}
    assert [after[number].why["observed"] for number in waiting] == [13, 13]
    assert [after[number].why["best"] for number in waiting] == [leases[0].number] * 2
    assert after[waiting[0]].params != before[waiting[0]].params
    bound = [n for n, trial in before.items() if trial.state is not TrialState.WAITING]
    assert all(after[number].params == before[number].params for number in bound)
    for number in range(1, len(after)):
        assert replayed(house.store, study.id, number) == after[number].params


def test_a_waiting_slot_takes_a_stale_suggestion_and_does_not_wait_for_a_better_one() -> None:
    house = House(slots=2)
    study = long_study(house, 10)
    leases = [house.lease(house.take()), house.lease(house.take())]
    drive(house.coordinator, study.id)
    stale = [trial for trial in house.store.trials(study.id) if trial.state is TrialState.WAITING]
    assert [len(stale), states(house, study.id).count("QUEUED")] == [1, 1]
    house.suggesters.delayed = True
    for lease in leases:
        assert lease is not None
        house.finish(lease, 0.01 * lease.number, device_s=60.0)
    drive(house.coordinator, study.id)
    bound = house.store.trial(study.id, stale[0].number)
    assert (bound.state, bound.params, bound.why) == (TrialState.QUEUED, stale[0].params, stale[0].why)


def test_the_past_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(slots=1)
    study = open_study(house.store, sampler="random")
    read: list[int] = []
    ended_since = house.store.ended_since

    def counted(study_id: int, ended_no: int, limit: int = 1000) -> Any:
        page = ended_since(study_id, ended_no, limit)
        read.extend(trial.number for trial in page)
        return page

    monkeypatch.setattr(house.store, "ended_since", counted)
    for _ in range(20):
        drive(house.coordinator, study.id)
        lease = house.lease(house.take())
        assert lease is not None
        house.finish(lease, 1.0)
    assert sorted(read) == list(range(len(read)))


def test_a_turn_reads_the_study_once_and_knows_what_its_own_steps_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    house, steps = House(slots=3), 0
    study = long_study(house, 12)
    waits = house.store.trials(study.id, states=[TrialState.WAITING])[0]
    for _ in range(3):
        lease = house.lease(house.take())
        assert lease is not None
        house.finish(lease, 0.1, device_s=60.0)
    snapshot, reads = house.store.snapshot, 0

    def counted(study_id: int) -> Snapshot:
        nonlocal reads
        reads += 1
        return snapshot(study_id)

    def compared(seen: Snapshot, *args: Any, **kwargs: Any) -> NextDecision:
        nonlocal steps
        steps += 1
        assert replace(seen, tail=()) == snapshot(study.id)
        return what_next(seen, *args, **kwargs)

    monkeypatch.setattr(house.store, "snapshot", counted)
    monkeypatch.setattr("coordinator.turn.what_next", compared)
    drive(house.coordinator, study.id)
    assert reads == 1
    assert steps > 3
    assert house.store.trial(study.id, waits.number).state is TrialState.QUEUED
    house.slots = 300  # more than a snapshot lists
    house.wait(1)
    drive(house.coordinator, study.id)
    assert house.store.study(study.id).counts.finished + house.store.study(study.id).counts.open == 60


@pytest.mark.parametrize(("seed", "trial_s"), [(1, 1.0), (2, 1.0), (3, 60.0), (4, 600.0)])
def test_sixty_trials_in_bad_weather_are_exactly_sixty_and_all_can_be_replayed(
    seed: int, trial_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    house, rng = House(slots=3), random.Random(seed)
    study = open_study(house.store)
    weather = Weather(house, rng, trial_s)
    for _ in range(4000):
        if house.store.study(study.id).state is not StudyState.RUNNING and house.store.trials(study.id):
            break
        what = rng.random()
        if what < 0.35:
            house.suggesters.delayed = rng.random() < 0.5
            drive(house.coordinator, study.id)
        elif what < 0.9:
            weather.worker(f"cpu0.s{rng.randrange(3)}@host")
        elif what < 0.985:
            house.ticks(rng.choice([1, 5, 5, LEASE_S]))
            resend(house.store, house.mailbox)
        elif what < 0.995:
            house.restart()
        else:
            weather.lose_all_tickets()
        counts = house.store.study(study.id).counts
        assert counts.open + counts.finished <= 60
    closed = house.store.study(study.id)
    assert (closed.state, closed.reason) == (StudyState.DONE, "all 60 trials are finished")
    assert (closed.counts.finished, closed.counts.open) == (60, 0)
    trials = house.store.trials(study.id, limit=1000)
    for trial in trials[1:]:
        assert replayed(house.store, study.id, trial.number) == trial.params
    assert len({str(trial.params) for trial in trials}) == len(trials)
    assert sum(trial.why.get("by") == "log expected improvement" for trial in trials) > 30
    replaced = sum("suggested anew: " in record.message for record in caplog.records)
    assert replaced
