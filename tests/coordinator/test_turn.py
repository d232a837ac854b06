"""A study's turns on the memory store: what they add, queue, pause and close, and that nothing goes wrong twice."""

import subprocess
import sys
from typing import Any

import pytest

from celeriac.domain.errors import UnknownStudy
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.messages import RunTrial
from celeriac.domain.records import Fault, Source, StudyState, Suggestion, TrialState
from celeriac.runtime.broker import CPU_QUEUE, GPU_QUEUE
from celeriac.store import Store
from coordinator import samplers
from coordinator.reaper import resend
from coordinator.samplers import sampler_for
from coordinator.suggest import messages
from coordinator.suggest.replay import replayed
from coordinator.turn import LOCK_PATIENCE_S, Coordinator, drive, drive_all
from tests.coordinator.house import LEASE_S, SPEC, TICK_S, Here, House, Mailbox, open_study, states, with_slots


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
    assert summary == "digits trial 0 attempt 1 lr=0.01 width=64 optimizer=adam"  # as the file lists them


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
    house.wait(2)
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

    monkeypatch.setattr(samplers, "sampler_for", lambda name: fails if name == "grid" else sampler_for(name))
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


def test_a_ticket_of_no_study_says_so() -> None:
    with pytest.raises(UnknownStudy):
        drive(House().coordinator, 99)
