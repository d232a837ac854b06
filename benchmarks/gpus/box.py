"""A host of GPUs on a virtual clock: the real placement, drive and store code on a real Postgres, and devices that only
count.

A device takes the oldest ticket of its queue while one of its slots is free, leases the trial, or comes to its gang, by
the store's own verbs, and ends it when its simulated duration is over. What it holds is counted here, by itself, from
what the lease says: so a device that is given too much is found, whoever gave it.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from benchmarks.fleet.simulation import LONG_S, Clock, Here, Queues, VirtualStore
from celeriac.decide.retry import after_fault
from celeriac.domain.errors import LeaseLost
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.messages import DriveStudy, JoinGang, RunTrial, TrialEnded
from celeriac.domain.records import Device, Fault, Lease, NewStudy, Refusal, StudyRecord
from celeriac.domain.study_file import StudySpec
from celeriac.runtime.broker import DRIVE_QUEUE, device_queue
from celeriac.store import Store, open_store
from celeriac.store.api import AttemptEnd
from coordinator.reaper import resend
from coordinator.turn import Coordinator, drive, drive_all

GIB = 2**30
MEMORY_BYTES = 80 * GIB
#: Seldom: each end of a trial has its turn, and a tick a turn of each study.
TICK_S = 600.0
_ROUNDING = 1e-6


@dataclass(slots=True)
class Card:
    """One GPU: how many slots it has, which leases hold it, by token, and how many of its slots wait in a gang.
    `most_share`, `most_bytes`: the most that was ever held of it.
    """

    uuid: str
    slots: int
    held: dict[str, Lease] = field(default_factory=dict)
    most_share: float = 0.0
    most_bytes: int = 0
    is_lost: bool = False
    gathering: int = 0

    @property
    def is_free(self) -> bool:
        """Whether one of its slots could take a ticket."""
        return not self.is_lost and len(self.held) + self.gathering < self.slots

    def hold(self, lease: Lease) -> None:
        """The lease holds its part from now on."""
        self.held[lease.token] = lease
        placed = [each.placed for each in self.held.values() if each.placed]
        self.most_share = max(self.most_share, sum(each.share for each in placed))
        self.most_bytes = max(self.most_bytes, sum(each.memory_bytes for each in placed))


class Box:
    """The host, its coordinator, and what runs. `lasts`: virtual seconds of a trial, by study and number."""

    def __init__(self, url: str, cards: int, slots: int, lasts: Callable[[int, int], float]) -> None:
        self.clock = Clock()
        self._real = open_store(url)
        self.store: Store = VirtualStore(self._real, self.clock)
        self.tickets = Queues()
        self.coordinator = Coordinator(
            self.store, self.tickets, Here(self.store), clock=lambda: self.clock.passed_s, tick_s=TICK_S
        )
        self.cards = {f"GPU-{k}": Card(f"GPU-{k}", slots) for k in range(cards)}
        self.busy_s = 0.0
        self.refused = self.ended = 0
        self.last_end_s = 0.0
        self._lasts, self._tick_at_s = lasts, TICK_S
        self._running: list[tuple[float, str, Lease]] = []
        self._gathering: dict[tuple[int, int, int], list[tuple[Card, str]]] = {}
        self._members: dict[str, list[str]] = {}
        self.put_devices()

    def close(self) -> None:
        """Give the connections back."""
        self._real.close()

    def open_studies(self, specs: Sequence[StudySpec]) -> list[StudyRecord]:
        """Open studies at one moment, and let the coordinator begin."""
        studies = [
            self.store.create_study(NewStudy(each.study, each.to_dict(), each.metric.goal, each.parallel))
            for each in specs
        ]
        for study in studies:
            self.tickets.send(DriveStudy(study.id), queue=DRIVE_QUEUE, summary=study.name)
        self.settle()
        return studies

    def step(self) -> bool:
        """The next end of a trial, or the next tick if that comes first; whether it was a tick."""
        ticks = not self._running or self._running[0][0] > self._tick_at_s
        if not ticks:
            self._end_next()
        else:
            self._move_to(self._tick_at_s)
            self._tick_at_s += TICK_S
            resend(self.store, self.tickets)
            drive_all(self.coordinator)
        self.settle()
        return ticks

    def settle(self) -> None:
        """Let devices take tickets and the coordinator read its own, until neither has anything left to do."""
        while self._take() or self._drive_next() or self._leave():
            pass

    def lose(self, uuid: str) -> None:
        """The device is gone, with all that runs on it: as the reaper does for a worker that was not heard of."""
        card = self.cards[uuid]
        card.is_lost = True
        for lease in list(card.held.values()):
            decision = after_fault(Fault.INFRASTRUCTURE, faults=lease.faults, has_checkpoint=False, lease_lapsed=True)
            end = AttemptEnd(decision.attempt_event, decision.trial_event, fault=Fault.INFRASTRUCTURE, detail="lost")
            self._finish(lease, end)
        self.put_devices()

    def find(self, uuid: str) -> None:
        """The device is back."""
        self.cards[uuid].is_lost = False
        self.put_devices()

    def put_devices(self) -> None:
        """Say in the store what the host has."""
        now = self._real.now()
        self._real.put_devices(
            "box",
            [
                Device(
                    card.uuid,
                    "box",
                    "H100",
                    MEMORY_BYTES,
                    {},
                    tuple(f"{card.uuid}.s{k}" for k in range(card.slots)),
                    "",
                    "ok",
                    now,
                    LONG_S,
                )
                for card in self.cards.values()
                if not card.is_lost
            ],
        )

    @property
    def flaws(self) -> list[str]:
        """The devices that ever held more than they have."""
        return [
            f"{card.uuid} held a share of {card.most_share:.3f} and {card.most_bytes / GIB:.1f} GiB"
            for card in self.cards.values()
            if card.most_share > 1 + _ROUNDING or card.most_bytes > MEMORY_BYTES
        ]

    # -- inside -------------------------------------------------------------------------------------------------------
    def _take(self) -> bool:
        took = False
        for card in self.cards.values():
            queue = self.tickets.queues[device_queue(card.uuid)]
            while queue and card.is_free:
                ticket = queue.popleft()
                if isinstance(ticket, JoinGang):
                    self._join(card, ticket)
                else:
                    assert isinstance(ticket, RunTrial)
                    self._lease(card, ticket)
                took = True
        return took

    def _lease(self, card: Card, ticket: RunTrial) -> None:
        found = self.store.lease(
            *(ticket.study, ticket.trial, ticket.attempt),
            worker=f"{card.uuid}.s{len(card.held)}",
            device=card.uuid,
            device_kind="H100",
            lease_s=LONG_S,
        )
        if isinstance(found, Lease):
            self._begin(found)
        else:
            self.refused += 1

    def _join(self, card: Card, ticket: JoinGang) -> None:
        """A slot of the card comes to the gang; with the last of them the round begins."""
        seat = self.store.join_gang(
            *(ticket.study, ticket.trial, ticket.attempt),
            worker=f"{card.uuid}.s{len(card.held)}",
            host="box",
            device=card.uuid,
            device_kind="H100",
            address="box",
            port=1,
            lease_s=LONG_S,
        )
        if isinstance(seat, Refusal):
            self.refused += 1
            return
        seats = self._gathering.setdefault((ticket.study, ticket.trial, ticket.attempt), [])
        seats.append((card, seat.token))
        card.gathering += 1
        if self.store.close_round(seat.token, seat.least, seat.most):
            leases = [self.store.gang_lease(token) for _, token in seats]
            lead = next(each for each in leases if each.place is not None and each.place.rank == 0)
            self._members[lead.token] = [token for _, token in seats]
            for each, _ in self._gathering.pop((ticket.study, ticket.trial, ticket.attempt)):
                each.gathering -= 1
            self._begin(lead)

    def _leave(self) -> bool:
        """Slots whose gang is not to be, since a device of it is gone, give it up, as their next beat tells them to."""
        left = False
        for gang, seats in list(self._gathering.items()):
            for card, token in list(seats):
                if not self.store.gang_beat(token, LONG_S).is_open:
                    self.store.end_membership(token)
                    seats.remove((card, token))
                    card.gathering -= 1
                    left = True
            if not seats:
                del self._gathering[gang]
        return left

    def _begin(self, lease: Lease) -> None:
        assert lease.placed is not None
        for uuid in lease.placed.devices:
            self.cards[uuid].hold(lease)
        ends_s = self.clock.passed_s + self._lasts(lease.study_id, lease.number)
        heapq.heappush(self._running, (ends_s, lease.token, lease))

    def _end_next(self) -> None:
        at_s, _, lease = heapq.heappop(self._running)
        if not any(lease.token in card.held for card in self.cards.values()):
            return  # it was on a device that is lost
        self._move_to(max(at_s, self.clock.passed_s))
        lasted_s = self._lasts(lease.study_id, lease.number)
        score = float(lease.params["x"])
        self._finish(lease, AttemptEnd(AttemptEvent.SCORE, TrialEvent.SCORE, score=score, device_s=lasted_s))
        self.busy_s += lasted_s * lease.plan.resources.width
        self.ended, self.last_end_s = self.ended + 1, self.clock.passed_s

    def _finish(self, lease: Lease, end: AttemptEnd) -> None:
        for card in self.cards.values():
            card.held.pop(lease.token, None)
        try:
            ended_no = self.store.finish_attempt(lease.token, end).ended_no or 0
        except LeaseLost:
            return  # its study is closed
        finally:
            for token in self._members.pop(lease.token, ()):
                self.store.end_membership(token)
        ended = TrialEnded(lease.study_id, lease.number, lease.attempt, ended_no)
        self.tickets.send(ended, queue=DRIVE_QUEUE, summary=lease.study)

    def _drive_next(self) -> bool:
        waiting = self.tickets.queues[DRIVE_QUEUE]
        if not waiting:
            return False
        message = waiting.popleft()
        assert isinstance(message, DriveStudy | TrialEnded)
        drive(self.coordinator, message.study, ended_no=message.ended_no if isinstance(message, TrialEnded) else 0)
        return True

    def _move_to(self, second: float) -> None:
        self.clock.now = self.clock.began + timedelta(seconds=second)
