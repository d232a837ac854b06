"""A gang: several slots that run one trial together, as its members see it.

A round is one attempt of the trial: its members are fixed when it begins, each with a rank, and a lost member ends it.
"""

from dataclasses import dataclass

from celeriac.domain.records.placing import Placed
from celeriac.domain.records.resources import Resources
from celeriac.domain.states import Fault


@dataclass(frozen=True, slots=True)
class Seat:
    """A slot that has come to a gang: its token, and how many members the round needs at least, and at most."""

    token: str
    study: str
    least: int
    most: int

    @classmethod
    def of(cls, token: str, study: str, asked: Resources, placed: Placed | None) -> "Seat":
        """Of a trial that asks for so much, or was given so many places."""
        most = asked.members if placed is None else len(placed.devices)
        return cls(token, study, min(asked.least, most), most)


@dataclass(frozen=True, slots=True)
class Member:
    """One member as the others see it.

    `rank`: None before the round. `silent_s`: since its membership was last renewed; `lapsed`: that was too long ago.
    `ended`: it is a member no more; then `fault` and its words say why, if it was for a fault. `leaving`: why it wants
    the trial handed back, or "". `device_kind`: `Device.kind` of where it is.
    """

    rank: int | None
    worker: str
    silent_s: float
    lapsed: bool
    ended: bool
    leaving: str = ""
    fault: Fault | None = None
    detail: str = ""
    traceback: str = ""
    signature: str = ""
    device_kind: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """A gang as one of its members finds it: gathering while `rank` is None, then with its world fixed.

    `is_open`: the trial may still begin with this gang, or its round goes on. `waited_s`: since the first of the
    members came. `asked_back`: to rank 0, why the trial is to hand itself back. `grow`: why the round is to end at its
    next checkpoint, so that more slots can join; or "".
    """

    rank: int | None
    world: int
    is_open: bool
    waited_s: float
    grow: str
    members: tuple[Member, ...]
    asked_back: str = ""


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a member of a round runs. `device`: its GPU's UUID, "" for a CPU slot; `kind`: `Device.kind`."""

    rank: int
    host: str
    device: str
    address: str
    port: int
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A member's place in a round: its rank, and all members by rank, itself included."""

    rank: int
    peers: tuple[Peer, ...]

    @property
    def world(self) -> int:
        """How many members there are."""
        return len(self.peers)

    @property
    def neighbours(self) -> tuple[Peer, ...]:
        """The members on this member's host, by rank."""
        return tuple(each for each in self.peers if each.host == self.peers[self.rank].host)

    @property
    def local_rank(self) -> int:
        """Its place among those of its host."""
        return [each.rank for each in self.neighbours].index(self.rank)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts, in the order of their first members."""
        return tuple(dict.fromkeys(each.host for each in self.peers))


@dataclass(frozen=True, slots=True)
class GangPlace:
    """Where one member of a trial's gang is, for people who look. `rank`: None while the gang gathers; `device`: its
    uuid; `silent_s`: since it was last heard of.
    """

    trial: int
    attempt: int
    rank: int | None
    worker: str
    host: str
    device: str
    silent_s: float

    def __str__(self) -> str:
        """As `rank 0 on gpu0.s0@a (GPU-1)`; a CPU slot's name says all."""
        where = f"{self.worker} ({self.device})" if self.device else self.worker
        return f"{'waits' if self.rank is None else f'rank {self.rank}'} on {where}"


@dataclass(frozen=True, slots=True)
class RunningGang:
    """A round that goes on, for the coordinator: of which trial, how many members it has and for how long."""

    study_id: int
    number: int
    attempt: int
    world: int
    age_s: float
    growing: bool
