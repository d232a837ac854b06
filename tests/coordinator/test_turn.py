"""A study's turns on the memory store: what they add, queue, pause and close, and that nothing goes wrong twice."""

import logging
import random
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from celeriac.decide.turn import NextDecision, what_next
from celeriac.domain.errors import UnknownStudy
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.messages import RunTrial
from celeriac.domain.records import Fault, Snapshot, Source, StudyRecord, StudyState, Suggestion, TrialState
from celeriac.runtime.broker import CPU_QUEUE, GPU_QUEUE
from celeriac.store import Store
from coordinator.reaper import resend
from coordinator.samplers import sampler_for
from coordinator.suggest import messages
from coordinator.suggest.replay import replayed
from coordinator.turn import LOCK_PATIENCE_S, Coordinator, drive, drive_all
from tests.coordinator.house import LEASE_S, SPEC, TICK_S, Here, House, Mailbox, Weather, open_study, with_slots


def states(house: House, study_id: int) -> list[str]:
    return [str(trial.state) for trial in house.store.trials(study_id, limit=1000)]


def test_the_first_turn_starts_the_study_and_fills_slots_and_buffer() -> None:
    house = House(slots=2)
    study = open_study(house.store)
    drive(house.coordinator, study.id)
    assert house.store.study(study.id).state is StudyState.RUNNING
    assert states(house, study.id) == ["QUEUED"] * 3 + ["WAITING"]
    first = house.store.trial(study.id, 0)
    assert first.source is Source.DEFAULT
    assert first.params == SPEC["default"]
    assert house.mailbox.queues[CPU_QUEUE] == [RunTrial(study.id, number, 1) for number in range(3)]
    queue, summary, task_id = house.mailbox.sent[0]
    assert (queue, task_id) == (CPU_QUEUE, "digits-0-1")
    assert summary == "digits trial 0 attempt 1 lr=0.01 optimizer=adam width=64"


def test_a_turn_with_nothing_to_do_writes_nothing() -> None:
    house = House()
    study = open_study(house.store)
    drive(house.coordinator, study.id)
    before = house.store.study(study.id)
    sent = len(house.mailbox.sent)
    assert "3 queued" in drive(house.coordinator, study.id)
    assert house.store.study(study.id) == before
    assert len(house.mailbox.sent) == sent


def test_without_slots_the_first_trial_is_ready_and_the_reason_says_why_it_waits() -> None:
    house = House(slots=0)
    study = open_study(house.store)
    assert "no live slot" in drive(house.coordinator, study.id)
    assert states(house, study.id) == ["QUEUED", "WAITING"]


def test_a_study_for_gpus_counts_gpu_slots_only_and_uses_their_queue() -> None:
    house = House(slots=4)
    with_slots(house.store, 4, gpus=1)
    study = open_study(house.store, resources={"gpus": 1})
    drive(house.coordinator, study.id)
    assert states(house, study.id) == ["QUEUED", "QUEUED", "WAITING"]
    assert len(house.mailbox.queues[GPU_QUEUE]) == 2
    other = open_study(house.store, study="any")
    drive(house.coordinator, other.id)
    assert states(house, other.id).count("QUEUED") == 5  # on the slots that the GPU study does not hold


def test_a_trials_end_brings_the_next_ticket_and_suggestion() -> None:
    house = House(slots=1)
    study = open_study(house.store)
    drive(house.coordinator, study.id)
    lease = house.lease(house.take())
    assert lease is not None
    drive(house.coordinator, study.id)
    house.finish(lease, 0.5)
    drive(house.coordinator, study.id)
    assert states(house, study.id) == ["SCORED", "QUEUED", "QUEUED", "WAITING"]
    assert house.store.trial(study.id, 1).why["observed"] == 0  # it was made while trial 0 ran
    assert house.store.trial(study.id, 3).why["observed"] == 1
    assert house.store.study(study.id).best_number == 0


def test_tickets_that_cannot_be_sent_are_left_to_the_reaper() -> None:
    house = House()
    study = open_study(house.store)
    house.mailbox.silent = True
    drive(house.coordinator, study.id)
    assert states(house, study.id).count("QUEUED") == 3
    house.mailbox.silent = False
    resend(house.store, house.mailbox)
    assert house.mailbox.queues[CPU_QUEUE] == []  # they may be on their way still
    house.wait(5)
    resend(house.store, house.mailbox)
    assert len(house.mailbox.queues[CPU_QUEUE]) == 3
    resend(house.store, house.mailbox)
    assert len(house.mailbox.queues[CPU_QUEUE]) == 3


def test_a_lost_ticket_is_sent_again_behind_a_thousand_that_wait_for_gpus() -> None:
    """They are older, of another queue, and all there: nothing is lost among them."""
    house = House()
    gpus = open_study(house.store, study="gpus", resources={"gpus": 1}, budget={"trials": 2000})
    house.store.move_study(gpus.id, StudyEvent.START, "now")
    waiting = [Suggestion({"lr": 0.01}, Source.SUGGESTED, {}) for _ in range(1001)]
    house.store.add_trials(gpus.id, house.store.study(gpus.id).turn, waiting)
    house.store.queue_trials(gpus.id, house.store.study(gpus.id).turn, range(1001))
    for number in range(1001):
        house.mailbox.send(RunTrial(gpus.id, number, 1), queue=GPU_QUEUE, summary="")
    house.wait(60)
    study = open_study(house.store)
    drive(house.coordinator, study.id)
    sent = list(house.mailbox.queues[CPU_QUEUE])
    assert sent
    house.mailbox.queues[CPU_QUEUE].clear()
    house.wait(5)
    resend(house.store, house.mailbox)
    assert house.mailbox.queues[CPU_QUEUE] == sent
    assert len(house.mailbox.queues[GPU_QUEUE]) == 1001


def test_a_lapsed_lease_gives_the_trial_back_and_wakes_the_study() -> None:
    house = House(slots=1)
    study = open_study(house.store)
    drive(house.coordinator, study.id)
    lease = house.lease(house.take())
    assert lease is not None
    house.ticks(LEASE_S)
    assert house.store.trial(study.id, 0).state is TrialState.RUNNING
    house.ticks(2 * TICK_S)
    trial = house.store.trial(study.id, 0)
    assert (trial.state, dict(trial.faults)) == (TrialState.WAITING, {"infrastructure": 1})
    assert "cpu0.s0@host was not heard of" in house.store.attempts(study.id, 0)[0].detail
    drive(house.coordinator, study.id)
    assert RunTrial(study.id, 0, 2) in house.mailbox.queues[CPU_QUEUE]


def test_three_times_the_same_bug_pauses_until_resumed() -> None:
    house = House(slots=1)
    study = open_study(house.store)
    for _ in range(3):
        drive(house.coordinator, study.id)
        lease = house.lease(house.take())
        assert lease is not None
        house.fail(lease, Fault.USER_BUG, signature="ZeroDivisionError at train.py:3")
    drive(house.coordinator, study.id)
    paused = house.store.study(study.id)
    assert paused.state is StudyState.PAUSED
    assert "same bug" in paused.reason
    assert "QUEUED" not in states(house, study.id)
    house.wait(60)
    house.store.move_study(study.id, StudyEvent.RESUME, "mended")
    drive(house.coordinator, study.id)
    assert house.store.study(study.id).state is StudyState.RUNNING
    assert states(house, study.id).count("QUEUED") == 2


def test_a_wall_budget_rests_until_the_first_lease_and_while_the_study_is_paused() -> None:
    house = House(slots=1)
    study = open_study(house.store, budget={"trials": 60, "wall": "30m"})
    drive(house.coordinator, study.id)
    house.wait(3600)  # no slot was free
    drive_all(house.coordinator)
    lease = house.lease(house.take())
    assert lease is not None
    house.wait(1700)
    house.store.move_study(study.id, StudyEvent.PAUSE, "by hand")
    house.wait(3600)
    house.store.move_study(study.id, StudyEvent.RESUME, "by hand")
    house.wait(99)
    drive_all(house.coordinator)
    assert house.store.study(study.id).state is StudyState.RUNNING
    house.wait(1)
    drive_all(house.coordinator)
    assert house.store.study(study.id).state is StudyState.DONE


def test_a_wall_budget_closes_the_study_and_cancels_what_runs() -> None:
    house = House(slots=1)
    study = open_study(house.store, budget={"trials": 60, "wall": "30m"})
    drive(house.coordinator, study.id)
    assert house.lease(house.take()) is not None
    house.wait(1800)
    drive_all(house.coordinator)
    closed = house.store.study(study.id)
    assert (closed.state, closed.reason) == (StudyState.DONE, "wall budget of 30m is used up")
    assert set(states(house, study.id)) == {"CANCELLED"}


def test_a_grid_that_is_used_up_ends_the_study_below_its_budget() -> None:
    house = House(slots=3)
    space = {"n": {"int": [1, 2]}, "kind": {"choice": ["a", "b"]}}
    study = open_study(house.store, space=space, default={"n": 2, "kind": "a"}, sampler="grid")
    for _ in range(8):
        drive(house.coordinator, study.id)
        if house.mailbox.queues[CPU_QUEUE]:
            lease = house.lease(house.take())
            assert lease is not None
            house.finish(lease, 1.0)
    closed = house.store.study(study.id)
    assert closed.state is StudyState.DONE
    assert closed.reason == "the grid sampler has tried every point of the space: 4 of 60 trials finished"
    assert closed.counts.scored == 4


def test_what_is_wrong_with_one_study_pauses_that_one_only(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    broken = open_study(house.store, study="broken", sampler="grid")
    sound = open_study(house.store, study="sound", sampler="random")

    def fails(*_: Any) -> list[Any]:
        raise ZeroDivisionError("in the sampler")

    monkeypatch.setattr(messages, "sampler_for", lambda name: fails if name == "grid" else sampler_for(name))
    drive_all(house.coordinator)
    paused = house.store.study(broken.id)
    assert paused.state is StudyState.PAUSED
    assert "the grid sampler failed on broken: ZeroDivisionError" in paused.reason
    assert "celeriac resume broken" in paused.reason
    assert house.store.study(sound.id).state is StudyState.RUNNING
    assert states(house, sound.id).count("QUEUED") == 3


def test_a_sampler_whose_library_is_missing_pauses_its_study_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    study = open_study(house.store, sampler="botorch")
    monkeypatch.setattr("celeriac.domain.sampler_names.find_spec", lambda module: None)
    drive(house.coordinator, study.id)  # the default needs no sampler
    paused = house.store.study(study.id)
    assert paused.state is StudyState.PAUSED
    assert "needs botorch and torch, not installed here: `pip install 'celeriac[botorch]'`" in paused.reason
    assert paused.reason.endswith("(then: celeriac resume digits)")
    monkeypatch.undo()
    house.store.move_study(study.id, StudyEvent.RESUME, "installed")
    drive(house.coordinator, study.id)
    assert house.store.study(study.id).state is StudyState.RUNNING


def test_auto_says_with_each_trial_what_it_chose_and_why() -> None:
    house = House(slots=3)
    space = {"n": {"int": [1, 2]}, "kind": {"choice": ["a", "b"]}}
    small = open_study(house.store, study="small", space=space, default=None, sampler="auto")
    large = open_study(house.store, study="large", sampler="auto")
    for study, name, reason in (
        (small, "grid", "by auto: the budget covers all 4 points of the space"),
        (large, "bayesian", "by auto: its model learns most from each trial, and costs milliseconds"),
    ):
        drive(house.coordinator, study.id)
        suggested = [t for t in house.store.trials(study.id) if t.source is Source.SUGGESTED]
        assert {(t.why["sampler"], t.why["chosen"]) for t in suggested} == {(name, reason)}
        assert all(replayed(house.store, study.id, t.number) == t.params for t in suggested)


def test_a_spec_that_cannot_be_read_pauses_its_study() -> None:
    house = House()
    study = open_study(house.store)
    house.store._rows.studies[study.id].spec["sampler"] = "annealing"  # type: ignore[index]
    drive(house.coordinator, study.id)
    assert house.store.study(study.id).state is StudyState.PAUSED
    assert "sampler" in house.store.study(study.id).reason


def test_a_study_that_another_coordinator_drives_is_left_alone() -> None:
    house = House()
    study = open_study(house.store)
    with house.store.driving(study.id) as mine:
        assert mine
        assert "another coordinator" in drive(house.coordinator, study.id)
    assert house.store.study(study.id).state is StudyState.OPEN


def test_a_lock_that_somebody_holds_for_long_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    house, seconds = House(), 0.0
    house.coordinator.clock = lambda: seconds
    study = open_study(house.store)
    with house.store.driving(study.id):
        assert "another coordinator" in drive(house.coordinator, study.id)
        seconds = LOCK_PATIENCE_S - 0.1
        assert "another coordinator" in drive(house.coordinator, study.id)
        seconds = LOCK_PATIENCE_S
        drive(house.coordinator, study.id)
    assert states(house, study.id) == ["QUEUED"] * 3 + ["WAITING"]
    assert "has held its lock for long" in caplog.text
    drive(house.coordinator, study.id)  # it was free: the next one who holds it has all the time again
    with house.store.driving(study.id):
        seconds *= 2
        assert "another coordinator" in drive(house.coordinator, study.id)


def test_a_coordinator_that_froze_inside_a_turn_is_left_behind(database: str, store: Store) -> None:
    study = open_study(store)
    with_slots(store, 2)
    code = (
        "import os, signal, sys\nfrom celeriac.store import open_store\n"
        "with open_store(sys.argv[1]).driving(int(sys.argv[2])) as mine:\n"
        "    print(mine, flush=True)\n    os.kill(os.getpid(), signal.SIGSTOP)"
    )
    command = [sys.executable, "-c", code, database, str(study.id)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as frozen:
        try:
            assert frozen.stdout is not None
            assert frozen.stdout.readline() == "True\n"
            seconds = 0.0
            coordinator = Coordinator(store, Mailbox(), Here(store), clock=lambda: seconds)
            assert "another coordinator" in drive(coordinator, study.id)
            seconds = LOCK_PATIENCE_S
            drive(coordinator, study.id)
            assert store.study(study.id).counts.queued == 3
        finally:
            frozen.kill()


def test_a_study_moved_on_in_the_middle_of_a_turn_ends_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    study = open_study(house.store)
    answer = house.suggesters.answer

    def stopped_meanwhile(question: messages.SuggestRequest) -> messages.SuggestResult | None:
        found = answer(question)
        house.store.move_study(study.id, StudyEvent.STOP, "a person said so")
        return found

    monkeypatch.setattr(house.suggesters, "answer", stopped_meanwhile)
    assert "moved" in drive(house.coordinator, study.id)
    assert house.store.study(study.id).state is StudyState.STOPPED
    assert states(house, study.id) == ["CANCELLED"]


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


def test_a_ticket_of_no_study_says_so() -> None:
    with pytest.raises(UnknownStudy):
        drive(House().coordinator, 99)


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
