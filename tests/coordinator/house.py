"""A house without services: the memory store, tickets in lists, and workers that are only rows."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from celeriac.decide.retry import after_fault
from celeriac.domain.errors import BrokerUnavailable, LeaseLost
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.messages import Message, RunTrial
from celeriac.domain.records import Device, Fault, Lease, NewStudy, StudyRecord
from celeriac.domain.study_file import parse
from celeriac.runtime.broker import DRIVE_QUEUE, Tickets, trial_queue
from celeriac.store import Store
from celeriac.store.api import AttemptEnd
from coordinator.reaper import reap
from coordinator.suggest.history import Histories
from coordinator.suggest.messages import GUESSED_S, SuggestRequest, SuggestResult, SuggestService, answered
from coordinator.suggest.queue import SuggestionQueue
from coordinator.turn import Coordinator
from tests.memory_store import MemoryStore

LEASE_S = 30.0
TICK_S = 5.0
SPEC: Mapping[str, Any] = {
    "study": "digits",
    "objective": "train:objective",
    "metric": {"name": "loss", "goal": "minimize"},
    "space": {
        "lr": {"float": [1e-4, 1e-1], "log": True},
        "width": {"int": [16, 256], "log": True},
        "optimizer": {"choice": ["sgd", "adam"]},
        "momentum": {"float": [0.5, 0.99], "when": {"optimizer": "sgd"}},
    },
    "default": {"lr": 0.01, "width": 64, "optimizer": "adam"},
    "sampler": "bayesian",
    "seed": 7,
    "budget": {"trials": 60},
}


class Clock:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Mailbox(Tickets):
    """Tickets in lists instead of Redis."""

    def __init__(self) -> None:
        self.queues: dict[str, list[Message]] = defaultdict(list)
        self.sent: list[tuple[str, str, str | None]] = []
        self.silent = False

    def send(self, message: Message, *, queue: str, summary: str, task_id: str | None = None) -> None:
        """Put the ticket in its list."""
        if self.silent:
            raise BrokerUnavailable("Redis does not answer")
        self.queues[queue].append(message)
        self.sent.append((queue, summary, task_id))

    def waiting(self, queue: str) -> int:
        """How many wait."""
        if self.silent:
            raise BrokerUnavailable("Redis does not answer")
        return len(self.queues[queue])


class Here(SuggestService):
    """Answers at once, in the asking process; `asked` are all questions, `delayed` says to answer at the next turn
    only.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._histories = store, Histories()
        self._ledger = SuggestionQueue()
        self.asked: list[SuggestRequest] = []
        self.delayed = False

    def answer(self, question: SuggestRequest) -> SuggestResult | None:
        found = self._ledger.answer(question)
        while found is None and self._ledger.asking():
            self.work()
            if self.delayed:
                return None
            found = self._ledger.answer(question)
        return found

    def work(self) -> None:
        """Answer the first question in the line."""
        question = self._ledger.hand_out(self._ledger.asking()[0].study_id, suggester=0)
        self.asked.append(question)
        self._ledger.done(question, answered(self._store, self._histories, question))

    def carry(self, study_id: int, turn: int) -> None:
        self._ledger.carry(study_id, turn)

    def suggest_s(self, study_id: int) -> float:
        return GUESSED_S

    def forget(self, study_id: int) -> None:
        self._ledger.forget(study_id)

    def keep_only(self, study_ids: Sequence[int]) -> None:
        self._ledger.keep_only(study_ids)

    def close(self) -> None:
        """Nothing was opened."""


def open_study(store: Store, **changes: Any) -> StudyRecord:
    """A study of SPEC with these keys changed."""
    spec = parse({**SPEC, **changes})
    return store.create_study(
        NewStudy(name=spec.study, spec=spec.to_dict(), goal=spec.metric.goal, parallel=spec.parallel)
    )


def with_slots(store: Store, count: int, *, gpus: int = 0) -> None:
    """A host with a CPU device of `count` slots and `gpus` GPUs of one slot."""
    now = store.now()
    cpu = Device("cpu0", "host", "cpu", 0, {}, tuple(f"cpu0.s{k}" for k in range(count)), "", "ok", now)
    cards = [Device(f"gpu{k}", "host", "H200", 0, {}, (f"gpu{k}.s0",), "", "ok", now) for k in range(gpus)]
    store.put_devices("host", [cpu, *cards])


@dataclass
class House:
    """Store, tickets and one coordinator, with a clock that stands still."""

    clock: Clock = field(default_factory=Clock)
    slots: int = 2

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)
        self.mailbox = Mailbox()
        self.restart()
        if self.slots:
            with_slots(self.store, self.slots)

    def restart(self) -> None:
        """A coordinator that remembers nothing."""
        self.suggesters = Here(self.store)
        self.coordinator = Coordinator(
            self.store, self.mailbox, self.suggesters, clock=lambda: self.clock.now.timestamp()
        )

    def wait(self, seconds: float) -> None:
        """Let time pass; the nodes go on beating."""
        self.clock.advance(seconds)
        with_slots(self.store, self.slots)

    def ticks(self, seconds: float) -> None:
        """Let time pass, in which the reaper looks as often as beat tells it to."""
        while seconds > 0:
            self.wait(min(seconds, TICK_S))
            seconds -= TICK_S
            reap(self.store, self.mailbox, tick_s=TICK_S)

    def take(self, queue: str = trial_queue(0)) -> RunTrial:
        """The oldest ticket of a trial queue."""
        ticket = self.mailbox.queues[queue].pop(0)
        assert isinstance(ticket, RunTrial)
        return ticket

    def lease(self, ticket: RunTrial, worker: str = "cpu0.s0@host", *, device_kind: str = "cpu") -> Lease | None:
        """What the ticket gives a worker; None when it is refused."""
        found = self.store.lease(
            ticket.study,
            ticket.trial,
            ticket.attempt,
            worker=worker,
            device="cpu0",
            device_kind=device_kind,
            lease_s=LEASE_S,
        )
        return found if isinstance(found, Lease) else None

    def finish(self, lease: Lease, score: float, device_s: float = 1.0) -> None:
        """End the attempt with a score."""
        self.store.finish_attempt(
            lease.token, AttemptEnd(AttemptEvent.SCORE, TrialEvent.SCORE, score=score, device_s=device_s)
        )

    def fail(self, lease: Lease, fault: Fault, *, signature: str = "") -> None:
        """End the attempt with a fault, as the worker's retry decision has it."""
        decision = after_fault(fault, faults=lease.faults, retry_attempts=3, has_checkpoint=False, elsewhere=True)
        end = AttemptEnd(
            decision.attempt_event, decision.trial_event, fault=fault, detail=f"{fault}", signature=signature
        )
        self.store.finish_attempt(lease.token, end)


@dataclass
class Weather:
    """Workers and everything that can happen to them and to their tickets, at random."""

    house: House
    rng: random.Random
    trial_s: float = 1.0
    held: dict[str, Lease] = field(default_factory=dict)

    def worker(self, name: str) -> None:
        """One slot does one thing: takes a ticket, or ends its trial in one way or another."""
        lease = self.held.pop(name, None)
        if lease is None:
            self._take(name)
            return
        try:
            self._end(lease)
        except LeaseLost:
            return

    def _take(self, name: str) -> None:
        queue = self.house.mailbox.queues[trial_queue(0)]
        if not queue:
            return
        ticket = self.house.take()
        luck = self.rng.random()
        if luck < 0.05:
            return  # lost on the way
        if luck < 0.15:
            queue.append(ticket)  # delivered twice
        lease = self.house.lease(ticket, name)
        if lease is not None:
            self.held[name] = lease

    def _end(self, lease: Lease) -> None:
        luck = self.rng.random()
        if luck < 0.12:
            return  # killed with -9: only its lease tells
        if luck < 0.2:
            self.house.fail(lease, Fault.INFRASTRUCTURE)
        elif luck < 0.26:
            self.house.fail(lease, self.rng.choice([Fault.TIMEOUT, Fault.NOT_FINITE]))
        elif luck < 0.3:
            self.house.fail(lease, Fault.USER_BUG, signature=str(lease.number))
        else:
            self.house.finish(lease, self.rng.random(), device_s=self.trial_s)

    def lose_all_tickets(self) -> None:
        """Redis is flushed."""
        self.house.mailbox.queues.clear()


def drive_tickets(mailbox: Mailbox) -> int:
    """How many turns were asked for."""
    return len(mailbox.queues[DRIVE_QUEUE])


def states(house: House, study_id: int) -> list[str]:
    """The state of each trial of a study, by number."""
    return [str(trial.state) for trial in house.store.trials(study_id, limit=1000)]
