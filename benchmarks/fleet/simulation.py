"""A fleet on a virtual clock: the real decide, drive and store code on a real Postgres, and slots that are only rows.

A slot takes a ticket, leases its trial, and ends it when its simulated duration is over, all by the store's own verbs.
What the database calls now is real time; where a decision looks at the clock (the wall budget, the ticks),
`VirtualStore` hands it the virtual one, so that half an hour passes in seconds.
"""

import heapq
import shutil
import tempfile
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from celeriac.domain.errors import LeaseLost
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.messages import DriveStudy, Message, RunTrial, TrialEnded
from celeriac.domain.records import Claim, Device, Lease, NewStudy, Refusal, Snapshot, StudyRecord
from celeriac.domain.study_file import parse
from celeriac.local.postgres import Postgres
from celeriac.runtime.broker import DRIVE_QUEUE, TRIAL_QUEUES, Tickets, trial_queue
from celeriac.store import Store, open_store
from celeriac.store.api import AttemptEnd
from celeriac.store.migrate import migrate
from coordinator.suggest.history import Histories
from coordinator.suggest.messages import GUESSED_S, SuggestRequest, SuggestResult, answered
from coordinator.turn import Coordinator, drive, drive_all

#: No lease of a simulated slot runs out, and none of its devices is taken for dead: its clock is not the database's.
LONG_S = 1e7


@contextmanager
def postgres(*, max_connections: int = 60, before: Callable[[str], None] = lambda url: None) -> Iterator[str]:
    """The URL of a Postgres of our own with all tables, without fsync, for the block. `before` is called with the URL
    when there are no tables yet.
    """
    home = Path(tempfile.mkdtemp(prefix="celeriac-fleet-"))
    server = Postgres(home / "postgres", home / "run", durable=False, max_connections=max_connections)
    try:
        server.init()
        server.child.start()
        server.child.wait_ready()
        before(server.dsn)
        migrate(server.dsn)
        yield server.dsn
    finally:
        server.child.stop(20.0)
        shutil.rmtree(home, ignore_errors=True)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.began = self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    @property
    def passed_s(self) -> float:
        """Virtual seconds since the beginning."""
        return (self.now - self.began).total_seconds()


class VirtualStore:
    """The real store; the instants that decisions look at are the virtual clock's.

    Attributes that are not defined here are the real store's.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._opened: dict[int, datetime] = {}
        self._leased: dict[int, datetime] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def now(self) -> datetime:
        return self._clock()

    def snapshot(self, study_id: int) -> Snapshot:
        found = self._store.snapshot(study_id)
        study = replace(found.study, first_leased_at=self._leased.get(study_id))
        return replace(found, study=study, now=self._clock())

    def create_study(self, new: NewStudy) -> StudyRecord:
        study = self._store.create_study(new)
        self._opened[study.id] = self._clock()
        return study

    def lease(self, study_id: int, *args: Any, **kwargs: Any) -> Lease | Refusal:
        found = self._store.lease(study_id, *args, **kwargs)
        if isinstance(found, Lease):
            self._leased.setdefault(study_id, self._clock())
        return found

    def gang_lease(self, token: str) -> Lease:
        found = self._store.gang_lease(token)
        self._leased.setdefault(found.study_id, self._clock())
        return found

    def claims(self) -> list[Claim]:
        now, began = self._clock(), self._opened | self._leased
        ahead_s = (self._store.now() - now).total_seconds()
        return [
            replace(
                each,
                age_s=(now - began.get(each.study_id, now)).total_seconds(),
                deadline_s=None if each.deadline_s is None else each.deadline_s + ahead_s,
            )
            for each in self._store.claims()
        ]


class Queues(Tickets):
    """Tickets in lists instead of Redis."""

    def __init__(self) -> None:
        self.queues: dict[str, deque[Message]] = defaultdict(deque)

    def send(self, message: Message, *, queue: str, summary: str, task_id: str | None = None) -> None:
        self.queues[queue].append(message)

    def waiting(self, queue: str) -> int:
        return len(self.queues[queue])


class Here:
    """A `SuggestService` that answers at once, in this process."""

    def __init__(self, store: Store) -> None:
        self._store, self._histories = store, Histories()

    def answer(self, question: SuggestRequest) -> SuggestResult | None:
        return answered(self._store, self._histories, question)

    def suggest_s(self, study_id: int) -> float:
        return GUESSED_S

    def carry(self, study_id: int, turn: int) -> None: ...
    def forget(self, study_id: int) -> None: ...
    def keep_only(self, study_ids: Sequence[int]) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Ended:
    """A trial's end: at which virtual second, whose, and how long it ran."""

    at_s: float
    study_id: int
    number: int
    lasted_s: float


class Fleet:
    """Slots, a coordinator and the studies they work for. `step` lets the next thing happen; `run` goes on until a
    virtual second.

    slots: how many CPU slots; gpus: how many GPUs of one slot beside them, which take both kinds of tickets. lasts:
    virtual seconds of a trial, from study and number. tick_s: how often a tick drives every study.
    """

    def __init__(
        self, url: str, slots: int, lasts: Callable[[int, int], float], *, gpus: int = 0, tick_s: float = 60.0
    ) -> None:
        self.clock = Clock()
        self._real = open_store(url)
        self.store: Store = VirtualStore(self._real, self.clock)
        self.tickets = Queues()
        self.coordinator = Coordinator(self.store, self.tickets, Here(self.store))
        self._lasts, self._tick_s, self._tick_at_s = lasts, tick_s, tick_s
        self._free = deque([*((f"gpu{k}", True) for k in range(gpus)), *((f"cpu.s{k}", False) for k in range(slots))])
        self._running: list[tuple[float, int, int, tuple[str, bool], Lease, float]] = []
        self._put_devices(slots, gpus)

    def close(self) -> None:
        """Give the connections back."""
        self._real.close()

    # -- what happens -------------------------------------------------------------------------------------------------
    def open_studies(self, *names: str, **changes: Any) -> list[StudyRecord]:
        """Open studies at one moment and wake the coordinator for each, as a firing does."""
        specs = [parse({**_SPEC, "study": name, **changes}) for name in names]
        studies = [
            self.store.create_study(NewStudy(spec.study, spec.to_dict(), spec.metric.goal, spec.parallel))
            for spec in specs
        ]
        for study in studies:
            self.tickets.send(DriveStudy(study.id), queue=DRIVE_QUEUE, summary=study.name)
        self.settle()
        return studies

    def step(self) -> Ended | None:
        """The next end of a trial, or the next tick if that comes first (None)."""
        next_end_s = self._running[0][0] if self._running else float("inf")
        if next_end_s > self._tick_at_s:
            self._move_to(self._tick_at_s)
            self._tick_at_s += self._tick_s
            drive_all(self.coordinator)
            self.settle()
            return None
        ended = self.end_next()
        self.settle()
        return ended

    def run(self, until_s: float, after: Callable[[], None] = lambda: None) -> list[Ended]:
        """Go on until that virtual second; the trials that ended. `after` is called after each step."""
        found = []
        while min(self._tick_at_s, self._running[0][0] if self._running else float("inf")) <= until_s:
            ended = self.step()
            if ended is not None:
                found.append(ended)
            after()
        self._move_to(until_s)
        return found

    def end_next(self) -> Ended:
        """End the trial that is over first and say so to the coordinator, which has not acted on it yet."""
        at_s, _, _, slot, lease, lasted_s = heapq.heappop(self._running)
        self._move_to(at_s)
        end = AttemptEnd(AttemptEvent.SCORE, TrialEvent.SCORE, score=_score(lease), device_s=lasted_s)
        ended_no = self._finish(lease, end)
        self._free.append(slot)
        self.tickets.send(
            TrialEnded(lease.study_id, lease.number, lease.attempt, ended_no), queue=DRIVE_QUEUE, summary=lease.study
        )
        return Ended(at_s, lease.study_id, lease.number, lasted_s)

    def settle(self) -> None:
        """Let free slots take tickets and the coordinator read its own, until neither has anything left to do."""
        while self._take() or self.drive_next():
            pass

    # -- what is there ------------------------------------------------------------------------------------------------
    @property
    def idle(self) -> int:
        """Slots that run nothing now."""
        return len(self._free)

    @property
    def queued(self) -> int:
        """Trials that are QUEUED now, over all studies, by the counters of the studies' rows."""
        return sum(study.counts.queued for study in self._all())

    def running(self, study_id: int) -> int:
        """How many slots run a trial of this study now."""
        return sum(lease.study_id == study_id for *_, lease, _ in self._running)

    def _all(self) -> list[StudyRecord]:
        return self._real.studies(limit=100_000)

    # -- inside -------------------------------------------------------------------------------------------------------
    def _take(self) -> bool:
        """Each free slot takes a ticket, a GPU's of its own kind first; whether any did."""
        took = False
        for _ in range(len(self._free)):
            slot = self._free.popleft()
            lease = self._leased(slot)
            if lease is None:
                self._free.append(slot)
                continue
            took = True
            lasts_s = self._lasts(lease.study_id, lease.number)
            entry = (self.clock.passed_s + lasts_s, lease.study_id, lease.number, slot, lease, lasts_s)
            heapq.heappush(self._running, entry)
        return took

    def _leased(self, slot: tuple[str, bool]) -> Lease | None:
        name, is_gpu = slot
        for queue in TRIAL_QUEUES[::-1] if is_gpu else (trial_queue(0),):
            while self.tickets.queues[queue]:
                ticket = self.tickets.queues[queue].popleft()
                assert isinstance(ticket, RunTrial)
                found = self.store.lease(
                    ticket.study, ticket.trial, ticket.attempt, worker=name, device=name, lease_s=LONG_S
                )
                if not isinstance(found, Refusal):
                    return found
        return None

    def drive_next(self) -> bool:
        """Let the coordinator read the oldest of its tickets; whether there was one."""
        waiting = self.tickets.queues[DRIVE_QUEUE]
        if not waiting:
            return False
        message = waiting.popleft()
        assert isinstance(message, DriveStudy | TrialEnded)
        drive(self.coordinator, message.study, ended_no=message.ended_no if isinstance(message, TrialEnded) else 0)
        return True

    def _finish(self, lease: Lease, end: AttemptEnd) -> int:
        """The trial's place in the order of ends; 0: its study was closed while it ran."""
        try:
            return self.store.finish_attempt(lease.token, end).ended_no or 0
        except LeaseLost:
            return 0

    def _move_to(self, second: float) -> None:
        self.clock.now = self.clock.began + timedelta(seconds=second)

    def _put_devices(self, slots: int, gpus: int) -> None:
        now = self._real.now()
        cpu = Device("cpu", "host", "cpu", 0, {}, tuple(f"cpu.s{k}" for k in range(slots)), "", "ok", now, LONG_S)
        cards = [Device(f"gpu{k}", "host", "GPU", 0, {}, (f"gpu{k}",), "", "ok", now, LONG_S) for k in range(gpus)]
        self._real.put_devices("host", [cpu, *cards] if slots else cards)


_SPEC: Mapping[str, Any] = {
    "objective": "none:none",
    "metric": {"name": "loss", "goal": "minimize"},
    "space": {"x": {"float": [0.0, 1.0]}, "y": {"float": [0.0, 1.0]}},
    "sampler": "random",
    "budget": {"trials": 100_000},
}


def _score(lease: Lease) -> float:
    return float((lease.params["x"] - 0.3) ** 2 + lease.params["y"])
