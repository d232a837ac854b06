"""Many nights of many slices on a virtual clock, while every component crashes at random: the real decide, drive,
nights, reaper, delivery and store code on a real Postgres, and slots that are only rows.
"""

import heapq
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from math import log
from pathlib import Path
from typing import Any

from benchmarks.fleet.simulation import Here
from benchmarks.nights.crashing import CrashingStore, Killed, LossyQueues, Weather
from benchmarks.nights.virtual import BEGAN, DatabaseClock
from celeriac.decide.calendar import dues_of
from celeriac.decide.retry import after_fault
from celeriac.domain.errors import BrokerUnavailable, LeaseLost, StoreUnavailable, TryAgain
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.messages import DriveStudy, RunTrial, TrialEnded
from celeriac.domain.records import Device, Fault, Lease, Schedule
from celeriac.domain.study_file import parse, slice_name
from celeriac.runtime.artefacts import open_artefacts
from celeriac.runtime.broker import CPU_QUEUE, DRIVE_QUEUE
from celeriac.store import open_store
from celeriac.store.api import AttemptEnd
from coordinator import reaper, schedules
from coordinator.outbox.deliver import deliver
from coordinator.outbox.outside import Outside
from coordinator.suggest.messages import SuggestRequest, SuggestResult
from coordinator.turn import Coordinator, drive, drive_all

NAME, DAY_S, DUE_S = "nights", 86_400.0, 3 * 3600.0
#: All of a night should be done so long after its due time; the ticks of the last moments before are not left out.
DEADLINE_S, LAST_S, LAST_TICK_S = 1500.0, 30.0, 5.0
#: In a night with priorities every fourth slice has this weight, the others 1.
HEAVY = 4.0
TICK_S, MEAN_S, SIGMA = 60.0, 60.0, 0.5
TRIALS, BLOCKS, COORDINATORS = 6, 20, 2
#: A lease outlives its trial by so much; no simulated device is taken for dead.
LEASE_S, LONG_S = 90.0, 1e9
#: A night that is not over after so long is stuck.
STUCK_S = 0.9 * DAY_S


class NightHouse:
    """Slots, coordinators and one schedule. `slices` slices are due at three o'clock each night.

    home: an empty directory, for champions and for what the hooks were told. `started_s` holds each study's first
    start of a trial, `ran_s` the device-seconds that each attempt, by its token, told of; of those in `unsure` the slot
    died while it told.
    """

    def __init__(self, url: str, home: Path, weather: Weather, *, slices: int, slots: int, seed: int) -> None:
        self.clock, self.real = DatabaseClock(url), open_store(url, pool_size=12)
        self.weather, self.home, self.seed, self.slots = weather, home, seed, slots
        self.tickets = LossyQueues(weather)
        self.coordinators = [self._coordinator() for _ in range(COORDINATORS)]
        self.worker = CrashingStore(self.real, weather)
        self.started_s: dict[int, float] = {}
        self.ran_s: dict[str, float] = {}
        self.unsure: set[str] = set()
        self._free = [f"cpu.s{k}" for k in range(slots)]
        self._running: list[tuple[float, int, str, Lease, float]] = []
        self._order = 0
        self.artefacts = home / "artefacts"
        self.told = home / "told"
        self.told.mkdir(parents=True)
        self._outside = Outside(
            lambda: open_artefacts(str(self.artefacts)), lambda _: "", home, {"PATH": "/usr/bin:/bin"}
        )
        self.slices = [{"s": f"s{k:02}"} for k in range(slices)]
        self.heavy = {slice_name(each) for each in self.slices[::4]}
        self.give_weights(1.0)

    def close(self) -> None:
        """Give the connections back."""
        self.real.close()
        self.clock.close()

    def night(self, number: int) -> None:
        """Let one night come and go. Raises AssertionError when it does not end."""
        due_s = number * DAY_S + DUE_S
        self.clock.move_to(due_s)
        ticks = _ticks(due_s)
        tick_s = next(ticks)
        while True:
            next_end_s = self._running[0][0] if self._running else float("inf")
            if tick_s <= next_end_s:
                self.clock.move_to(tick_s)
                self._tick()
                tick_s = next(ticks)
                self._settle()
                if self._is_over():
                    return
                assert tick_s < due_s + STUCK_S, f"night {number} does not end: {self._what_is_left()}"
            else:
                self._end_next()
                self._settle()

    # -- the programs -------------------------------------------------------------------------------------------------
    def _coordinator(self) -> Coordinator:
        """One that remembers nothing."""
        store: Any = CrashingStore(self.real, self.weather)
        seconds = lambda: self.clock.passed_s  # noqa: E731
        return Coordinator(store, self.tickets, _Suggester(store), tick_s=TICK_S, clock=seconds)

    def _by_one(self, act: Callable[[Coordinator], object]) -> None:
        """One of the coordinators does something, and may die of it; the next tick makes up for a silent store."""
        place = self.weather.rng.randrange(len(self.coordinators))
        try:
            act(self.coordinators[place])
        except Killed:
            self.coordinators[place] = self._coordinator()
        except TryAgain:
            return

    def _tick(self) -> None:
        """As beat's three ticks: each may go wrong by itself."""
        self._put_devices()
        self._by_one(lambda one: reaper.reap(one.store, one.tickets, tick_s=TICK_S))
        self._by_one(lambda one: reaper.resend(one.store, one.tickets))
        self._by_one(lambda one: schedules.fire_due(one.store, one.tickets))
        self._by_one(lambda one: deliver(one.store, self._outside))
        self._by_one(drive_all)

    def _settle(self) -> None:
        """Let free slots take tickets and the coordinators read theirs, until neither has anything left to do."""
        while self._take() or self._drive_next():
            pass

    def _drive_next(self) -> bool:
        waiting = self.tickets.queues[DRIVE_QUEUE]
        if not waiting:
            return False
        message = waiting.popleft()
        assert isinstance(message, DriveStudy | TrialEnded)
        ended_no = message.ended_no if isinstance(message, TrialEnded) else 0
        self._by_one(lambda one: drive(one, message.study, ended_no=ended_no))
        return True

    # -- the slots ----------------------------------------------------------------------------------------------------
    def _take(self) -> bool:
        took = False
        waiting = self.tickets.queues[CPU_QUEUE]
        while self._free and waiting:
            ticket, slot = waiting.popleft(), self._free[0]
            assert isinstance(ticket, RunTrial)
            lasts_s = self._lasts_s(ticket.study, ticket.trial)
            try:
                lease = self.worker.lease(
                    ticket.study, ticket.trial, ticket.attempt, worker=slot, device=slot, lease_s=lasts_s + LEASE_S
                )
            except (Killed, StoreUnavailable):
                continue  # if it holds a lease, nobody knows of it
            if not isinstance(lease, Lease):
                continue
            took = True
            self._free.pop(0)
            self.started_s.setdefault(lease.study_id, self.clock.passed_s)
            self._order += 1
            heapq.heappush(self._running, (self.clock.passed_s + lasts_s, self._order, slot, lease, lasts_s))
        return took

    def _end_next(self) -> None:
        at_s, _, slot, lease, lasted_s = heapq.heappop(self._running)
        self.clock.move_to(at_s)
        self._free.append(slot)
        if self.weather.strikes("a worker is killed", self.weather.killed):
            if self.weather.rng.random() < 0.5:  # it was heard of a moment ago, else not since it began
                with suppress(LeaseLost):
                    self.real.renew(lease.token, LEASE_S)
                    self.ran_s[lease.token] = lasted_s
            return
        end = self._result(lease, lasted_s)
        for _ in range(3):  # as a worker does, which tries again while the store does not answer
            try:
                ended_no = self.worker.finish_attempt(lease.token, end).ended_no or 0
            except StoreUnavailable:
                continue
            except LeaseLost:
                return
            except Killed:
                self.ran_s[lease.token] = lasted_s
                self.unsure.add(lease.token)
                return
            self.ran_s[lease.token] = lasted_s
            self._tell(lease, ended_no)
            return

    def _tell(self, lease: Lease, ended_no: int) -> None:
        ended = TrialEnded(lease.study_id, lease.number, lease.attempt, ended_no)
        try:
            self.tickets.send(ended, queue=DRIVE_QUEUE, summary=lease.study)
        except BrokerUnavailable:
            return  # the tick sees it

    def _result(self, lease: Lease, lasted_s: float) -> AttemptEnd:
        if self.weather.strikes("a fault of the infrastructure", self.weather.infrastructure):
            said = after_fault(Fault.INFRASTRUCTURE, faults=lease.faults, has_checkpoint=False)
            return AttemptEnd(
                said.attempt_event, said.trial_event, fault=Fault.INFRASTRUCTURE, device_s=lasted_s, wait_s=said.wait_s
            )
        score, holdout = trained(lease, self.seed)
        return AttemptEnd(AttemptEvent.SCORE, TrialEvent.SCORE, score=score, holdout=holdout, device_s=lasted_s)

    def _lasts_s(self, study_id: int, number: int) -> float:
        luck = random.Random(f"{self.seed} {study_id} {number}")
        return luck.lognormvariate(log(MEAN_S) - SIGMA**2 / 2, SIGMA)

    # -- what is there ------------------------------------------------------------------------------------------------
    def _is_over(self) -> bool:
        return not self._running and not any(self._what_is_left().values())

    def _what_is_left(self) -> dict[str, Any]:
        """Read past the weather: a fault in the counting would prove nothing."""
        delivered = {each.promotion for each in self.real.deliveries(NAME, limit=1000) if each.done_at}
        promoted = [each.id for each in self.real.verdicts(NAME, limit=200) if each.promoted]
        return {
            "due": [each.name for each in self.real.due_schedules()],
            "firings to move": self.real.firings_to_move(),
            "studies": self.real.studies_to_drive(),
            "deliveries": [each.promotion for each in self.real.deliveries(NAME, limit=400) if each.done_at is None],
            "promotions": [each for each in promoted if each not in delivered],
        }

    def _put_devices(self) -> None:
        names = tuple(f"cpu.s{k}" for k in range(self.slots))
        device = Device("cpu", "host", "cpu", 0, {}, names, "", "ok", self.clock(), LONG_S)
        self.real.put_devices("host", [device])

    def give_weights(self, heavy: float) -> None:
        """Put the schedule into force, or edit it: every fourth slice has that weight."""
        told = f"cat > {self.told}/$CELERIAC_PROMOTION.$$; test $(($$ % 100)) -ge {self.weather.hook_fails}"
        section = {
            "name": NAME,
            "cron": "0 3 * * *",
            "slices": [{**each, "priority": heavy} if slice_name(each) in self.heavy else each for each in self.slices],
            "deadline": DEADLINE_S,
            "hook": {"command": ["sh", "-c", told]},
        }
        spec = parse({**SPEC, "seed": self.seed, "schedule": section})
        assert spec.schedule is not None
        now = self.clock() + timedelta(seconds=1)
        every = tuple(spec.schedule.combinations())
        row = Schedule(NAME, spec.to_dict(), "0 3 * * *", "UTC", every, "/code", "abc", False, now, now)
        self.real.put_schedule(row, dues_of(row, now))


def _ticks(due_s: float) -> Iterator[float]:
    """When time is said to have passed: each minute, and as often as in the service just before the deadline."""
    late_s, tick_s = due_s + DEADLINE_S, due_s
    while True:
        yield tick_s
        if tick_s < late_s - LAST_S:
            tick_s = min(tick_s + TICK_S, late_s - LAST_S)
        else:
            tick_s += LAST_TICK_S if tick_s < late_s else TICK_S


class _Suggester(Here):
    """Answers at once; where the store was silent it has no answer, as the pool of suggesters, and the tick asks."""

    def answer(self, question: SuggestRequest) -> SuggestResult | None:
        found = super().answer(question)
        return None if found is None or found.silent else found


SPEC = {
    "objective": "none:none",
    "metric": {"name": "loss", "goal": "minimize"},
    "space": {"x": {"float": [0.0, 1.0]}, "y": {"float": [0.0, 1.0]}},
    "default": {"x": 0.5, "y": 0.5},
    "sampler": "random",
    "budget": {"trials": TRIALS},
}


def trained(lease: Lease, seed: int) -> tuple[float, tuple[float, ...]]:
    """A trial's loss and its hold-out's blocks. Each slice has a best point, which jumps on one night of ten; a
    training's noise is its seed's and tonight's.
    """
    key, night = lease.slice["s"], (lease.due_at - BEGAN).days if lease.due_at else 0
    jumps = (day for day in range(night, -1, -1) if day == 0 or random.Random(f"{seed} {key} {day}").random() < 0.1)
    best = random.Random(f"{seed} {key} best {next(jumps)}")
    far = (lease.params["x"] - best.random()) ** 2 + (lease.params["y"] - best.random()) ** 2
    luck = random.Random(f"{seed} {key} {night} {lease.seed} {sorted(lease.params.items())}")
    tonight = random.Random(f"{seed} {key} {night}")
    level = far + luck.gauss(0.0, 0.05)
    return level, tuple(level + tonight.gauss(0.0, 0.1) + luck.gauss(0.0, 0.03) for _ in range(BLOCKS))
