"""Packs: several trials of one study that one process trains together."""

from dataclasses import dataclass, field

from celeriac.domain.states import Params


@dataclass(frozen=True, slots=True)
class PackCandidate:
    """A trial that a pack may take along, or the one that leads it. `step`: of its newest checkpoint, -1 without one.
    `short`: it ran out of memory by itself.
    """

    number: int
    params: Params
    step: int = -1
    short: bool = False


@dataclass(frozen=True, slots=True)
class PackLimit:
    """What a pack that was split has left: its trial is run with so many at most from then on. `by_memory`: memory ran
    out on the kind of device that the next pack would run on, and so it would for others of this shape.
    """

    number: int
    params: Params
    most: int
    by_memory: bool


@dataclass(frozen=True, slots=True)
class PackChoices:
    """What the leader of a pack may take along, oldest first, and the limits of the study's packs."""

    lead: PackCandidate
    others: tuple[PackCandidate, ...] = ()
    limits: tuple[PackLimit, ...] = field(default=())
