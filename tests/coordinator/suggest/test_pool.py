"""The suggesters as real processes, on the run's Postgres: fair turns, deaths, hangs, limits, and a whole study that
can be replayed.
"""

import heapq
import logging
import os
import queue
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from celeriac.decide.retry import after_fault
from celeriac.domain.lifecycle import AttemptEvent, StudyEvent, TrialEvent
from celeriac.domain.messages import Message, RunTrial
from celeriac.domain.records import Fault, Lease, Source, StudyRecord, StudyState, TrialState
from celeriac.runtime.settings import Settings
from celeriac.store import Store
from celeriac.store.api import AttemptEnd
from coordinator.suggest.pool import COMMAND, Pool, PoolLimits
from coordinator.suggest.program import Setup
from coordinator.suggest.replay import replayed
from coordinator.turn import Coordinator, drive, drive_all
from tests.coordinator.house import Mailbox, open_study, with_slots
from tests.coordinator.suggest.odd_suggester import DIES, DIES_ONCE, EXITS, GROWS, RAISES, STOPS, WAITS

ODD: dict[str, Any] = {"sampler": "grid", "default": None}
PLAIN: dict[str, Any] = {"sampler": "random"}
PATIENCE_S = 30.0


class Post(Mailbox):
    """Tickets that a test waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.trials: queue.Queue[RunTrial] = queue.Queue()

    def send(self, message: Message, *, queue: str, summary: str, task_id: str | None = None) -> None:
        assert isinstance(message, RunTrial)
        self.trials.put(message)


@dataclass
class Drive:
    """The drive program without Celery: a pool whose answers are followed by turns, and workers that are rows."""

    store: Store
    database_url: str
    odd: Path
    post: Post = field(default_factory=Post)
    turns: "queue.Queue[int]" = field(default_factory=queue.Queue)
    seen: set[int] = field(default_factory=set)
    most: int = 0
    most_bytes: int = 0

    def start(self, *, odd: bool = True, **limits: Any) -> None:
        """A coordinator with such a pool."""
        command = (sys.executable, "-m", "tests.coordinator.suggest.odd_suggester", str(self.odd)) if odd else COMMAND
        self.pool = Pool(Setup(self.database_url), PoolLimits(**limits), self.follow, command)
        self.coordinator = Coordinator(self.store, self.post, self.pool)

    def follow(self, study_id: int) -> None:
        """What the drive program does with an answer."""
        running = self.pool.processes()
        self.seen.update(running)
        self.most = max(self.most, len(running))
        for pid in running:
            with suppress(psutil.Error):  # some tests kill them
                self.most_bytes = max(self.most_bytes, psutil.Process(pid).memory_info().rss)
        drive(self.coordinator, study_id)
        self.turns.put(study_id)

    def drive(self, *studies: StudyRecord) -> None:
        for study in studies:
            drive(self.coordinator, study.id)

    def until(self, true: Callable[[], bool]) -> None:
        """Wait until it is so, looking again after each turn that followed an answer."""
        while not true():
            self.turns.get(timeout=PATIENCE_S)

    def lease(self) -> Lease:
        """The lease of the next ticket."""
        while True:
            ticket = self.post.trials.get(timeout=PATIENCE_S)
            found = self.store.lease(
                ticket.study, ticket.trial, ticket.attempt, worker="w", device="cpu0", lease_s=600.0
            )
            if isinstance(found, Lease):
                return found

    def finish(self, lease: Lease, score: float, device_s: float = 0.1) -> None:
        end = AttemptEnd(AttemptEvent.SCORE, TrialEvent.SCORE, score=score, device_s=device_s)
        self.store.finish_attempt(lease.token, end)
        drive(self.coordinator, lease.study_id)

    def run_to_the_end(self, *studies: StudyRecord) -> None:
        """Be the worker of these studies until all are done."""
        left = sum(study.spec["budget"]["trials"] for study in studies)
        for _ in range(left):
            self.finish(self.lease(), 0.5)
        assert {self.store.study(study.id).state for study in studies} == {StudyState.DONE}

    def reason(self, study: StudyRecord) -> str:
        """Why the study is PAUSED."""
        found = self.store.study(study.id)
        assert found.state is StudyState.PAUSED, found.state
        return found.reason

    def is_paused(self, study: StudyRecord) -> bool:
        return self.store.study(study.id).state is StudyState.PAUSED

    # -- what the odd sampler does
    # --------------------------------------------------------------------------------------
    def hear(self) -> str:
        """What it has come to."""
        with (self.odd / "says").open() as fifo:
            return fifo.readline().strip()

    def let_go(self) -> None:
        """It waited for this."""
        with (self.odd / "go").open("w") as fifo:
            fifo.write("go")


@pytest.fixture
def house(settings: Settings, store: Store, tmp_path: Path) -> Iterator[Drive]:
    for name in ("says", "go"):
        os.mkfifo(tmp_path / name)
    with_slots(store, 1)
    made = Drive(store, settings.database_url, tmp_path)
    yield made
    made.pool.close()
    assert not [pid for pid in made.seen if psutil.pid_exists(pid)]
    assert not [thread for thread in threading.enumerate() if thread.name == "suggesters"]


def test_a_study_whose_model_is_slow_delays_no_other(house: Drive) -> None:
    house.start()
    slow = open_study(house.store, study="slow", seed=WAITS, **ODD)
    quick = open_study(house.store, study="quick", budget={"trials": 30}, **PLAIN)
    house.drive(slow, quick)
    assert house.hear() == "waits"
    house.run_to_the_end(quick)  # all of it, while the other's first model is being made
    assert house.store.trials(slow.id) == []
    house.let_go()
    house.until(lambda: house.store.study(slow.id).counts.queued == 1)
    assert house.most == 2


def test_one_process_serves_who_waited_before_who_was_served(house: Drive) -> None:
    house.start(processes=1)
    slow = open_study(house.store, study="slow", seed=WAITS, **ODD)
    house.drive(slow)
    assert house.hear() == "waits"
    others = [open_study(house.store, study=f"other-{k}", default=None, **PLAIN) for k in range(3)]
    house.drive(*others)
    house.let_go()
    served = [house.turns.get(timeout=PATIENCE_S) for _ in range(4)]
    assert served == [slow.id, *(study.id for study in others)]
    assert house.hear() == "waits"  # the slow study's second question
    house.let_go()


@pytest.mark.parametrize(("seed", "how"), [(DIES, "was killed by SIGKILL"), (EXITS, "ended with exit status 3")])
def test_a_study_that_kills_its_process_is_paused_with_the_reason(house: Drive, seed: int, how: str) -> None:
    house.start()
    deadly = open_study(house.store, study="deadly", seed=seed, **ODD)
    sound = open_study(house.store, study="sound", budget={"trials": 10}, **PLAIN)
    house.drive(deadly, sound)
    house.run_to_the_end(sound)
    house.until(lambda: house.is_paused(deadly))
    said = f"no suggestion could be made, 2 times in a row: the process that makes them {how}"
    assert house.reason(deadly) == f"{said} (then: celeriac resume deadly)"


def test_a_process_that_is_killed_once_costs_nothing(house: Drive) -> None:
    house.start()
    study = open_study(house.store, seed=DIES_ONCE, budget={"trials": 5}, **ODD)
    house.drive(study)
    house.run_to_the_end(study)
    assert (house.odd / "died").exists()


def test_a_process_that_is_killed_while_it_is_free_costs_nothing(house: Drive) -> None:
    house.start()
    study = open_study(house.store, budget={"trials": 6}, **PLAIN)
    house.drive(study)
    house.finish(house.lease(), 0.5)
    house.until(lambda: house.store.study(study.id).counts.waiting == 1)
    for pid in house.pool.processes():
        psutil.Process(pid).kill()
    for _ in range(5):
        house.finish(house.lease(), 0.5)
    assert house.store.study(study.id).state is StudyState.DONE
    assert len(house.seen) == 2


@pytest.mark.parametrize("seed", [WAITS, STOPS])
def test_a_study_whose_model_hangs_is_paused_with_the_reason_and_others_go_on(house: Drive, seed: int) -> None:
    house.start()
    stuck = open_study(house.store, study="stuck", seed=seed, **ODD)
    sound = open_study(house.store, study="sound", budget={"trials": 10}, **PLAIN)
    house.drive(stuck, sound)
    house.run_to_the_end(sound)
    house.pool._limits = PoolLimits(timeout_s=0.0)  # it has had its time, however long this machine took
    house.until(lambda: house.is_paused(stuck))
    assert "the process that makes them took more than 0 s over one question" in house.reason(stuck)
    assert "celeriac resume stuck" in house.reason(stuck)


def test_a_model_that_takes_too_much_memory_is_ended(house: Drive) -> None:
    house.start(memory_bytes=150 * 2**20)
    greedy = open_study(house.store, seed=GROWS, **ODD)
    house.drive(greedy)
    house.until(lambda: house.is_paused(greedy))
    assert "the process that makes them took more than 300 MiB of memory" in house.reason(greedy)


def test_what_a_sampler_raises_pauses_its_study_and_costs_no_process(house: Drive) -> None:
    house.start()
    broken = open_study(house.store, study="broken", seed=RAISES, **ODD)
    house.drive(broken)
    house.until(lambda: house.is_paused(broken))
    assert "the grid sampler failed on broken: ZeroDivisionError" in house.reason(broken)
    assert house.pool.processes() == list(house.seen)
    house.store.move_study(broken.id, StudyEvent.RESUME, "perhaps now")
    house.drive(broken)
    house.until(lambda: house.is_paused(broken))


def test_a_process_that_has_grown_is_replaced_after_its_answer(house: Drive, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    house.start(memory_bytes=40 * 2**20)
    study = open_study(house.store, budget={"trials": 5}, **PLAIN)
    house.drive(study)
    house.run_to_the_end(study)
    grown = [text for text in caplog.messages if "suggester 0 is ended: it has grown to" in text]
    assert len(grown) > 1
    assert "took more than" not in caplog.text


def test_a_process_that_nobody_needs_is_ended(house: Drive) -> None:
    house.start(idle_s=0.0)
    study = open_study(house.store, **PLAIN)
    house.drive(study)
    house.until(lambda: house.store.study(study.id).counts.waiting == 1)
    deadline = time.monotonic() + PATIENCE_S
    while house.pool.processes():
        assert time.monotonic() < deadline
        time.sleep(0.01)  # nobody is told of it
    house.finish(house.lease(), 0.5)
    house.until(lambda: house.store.study(study.id).counts.waiting == 1)


def test_sixty_studies_share_two_processes(house: Drive) -> None:
    house.start(odd=False)
    studies = [open_study(house.store, study=f"study-{k}", budget={"trials": 4}, seed=k, **PLAIN) for k in range(60)]
    drive_all(house.coordinator)
    house.run_to_the_end(*studies)
    assert house.most == 2
    assert 0 < house.most_bytes < 200 * 2**20
    for study in studies:
        trials = house.store.trials(study.id)
        assert [trial.state for trial in trials] == [TrialState.SCORED] * 4
        assert replayed(house.store, study.id, 3) == trials[3].params


CONDITIONAL: dict[str, Any] = {
    "kind": {"choice": ["a", "b"]},
    "n": {"int": [1, 12]},
    "depth": {"int": [1, 6], "when": {"kind": "a"}},
    "rate": {"choice": [0.1, 0.2, 0.5], "when": {"kind": "b"}},
}


@dataclass
class Fleet:
    """Thirty slots on a virtual clock: trials of about a hundred minutes, some of which fail, are stopped or lose
    their worker.
    """

    house: Drive
    rng: random.Random
    now: float = 0.0
    running: list[tuple[float, int, Lease]] = field(default_factory=list)

    def run(self, study: StudyRecord, slots: int) -> None:
        """Until the study is done."""
        store, house = self.house.store, self.house
        while store.study(study.id).state is not StudyState.DONE:
            open_ones = store.study(study.id).counts
            while len(self.running) < min(slots, open_ones.running + open_ones.queued):
                self._begin(house.lease())
                open_ones = store.study(study.id).counts
            if self.running:
                self.now, _, lease = heapq.heappop(self.running)
                store.finish_attempt(lease.token, self._end(lease))
                said = drive(house.coordinator, study.id)
                # Trials take hours: usually all that was asked is answered before the next one ends. An answer to an
                # older question is none: it is followed by a turn all the same.
                waits = self.rng.random() < 0.7 or store.study(study.id).counts.finished < 40
                if "on their way" in said and waits:
                    house.until(lambda: "on their way" not in drive(house.coordinator, study.id))
            else:
                house.turns.get(timeout=PATIENCE_S)

    def _begin(self, lease: Lease) -> None:
        at = self.now + 6000.0 * self.rng.lognormvariate(0.0, 0.5)
        heapq.heappush(self.running, (at, lease.number, lease))

    def _end(self, lease: Lease) -> AttemptEnd:
        luck = self.rng.random()
        if luck < 0.7:
            score = sum(len(str(value)) for value in lease.params.values()) + self.rng.random()
            return AttemptEnd(AttemptEvent.SCORE, TrialEvent.SCORE, score=score, device_s=6000.0)
        if luck < 0.8:
            return AttemptEnd(AttemptEvent.PRUNE, TrialEvent.PRUNE, score=9.0, step=3, device_s=2000.0)
        fault = self.rng.choice([Fault.INFRASTRUCTURE, Fault.NOT_FINITE, Fault.OUT_OF_MEMORY])
        decided = after_fault(fault, faults=lease.faults, retry_attempts=2, has_checkpoint=False)
        return AttemptEnd(decided.attempt_event, decided.trial_event, fault=fault, device_s=1000.0)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("space", [None, CONDITIONAL])
def test_thirty_slots_get_no_point_twice_and_every_suggestion_can_be_computed_again(
    house: Drive, space: dict[str, Any] | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    house.start(odd=False)
    with_slots(house.store, 30)
    changes: dict[str, Any] = {"budget": {"trials": 100}}
    if space is not None:
        changes |= {"space": space, "default": {"kind": "b", "n": 3, "rate": 0.2}}
    study = open_study(house.store, **changes)
    house.drive(study)
    Fleet(house, random.Random(5)).run(study, slots=30)
    done = house.store.study(study.id)
    assert (done.reason, done.counts.finished, done.counts.open) == ("all 100 trials are finished", 100, 0)
    trials = house.store.trials(study.id, limit=1000)
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert len({str(sorted(trial.params.items())) for trial in trials}) == len(trials)
    for trial in trials[1:]:
        assert trial.source is Source.SUGGESTED
        assert replayed(house.store, study.id, trial.number) == trial.params
    assert any("suggested anew: " in text for text in caplog.messages)
