"""On which devices do the trials go that the queue of a class cannot serve: shares, gangs, memory, and labels?

Promises: no device is given more than its share, its memory or its slots; a gang is placed whole or not at all, on one
host where that is possible; what waits longest is never passed for ever.

Order: those that have waited longer than `patience_s` first, the longest first; then those within their part of the
fleet; of these the largest first, by members, share and memory (first fit decreasing; Johnson et al., Worst-case
performance bounds for simple one-dimensional packing algorithms, 1974). Each goes to the fullest device that still has
room, so that empty ones stay whole for those who need them whole. One that has waited too long and fits nowhere
reserves the devices that will soonest have room: nobody else is placed there until it is. Only one reserves at a time,
or two could wait for each other's half.

A trial whose need of memory nobody knows has its device to itself, and is measured. One that ran out of memory goes to
no kind of device where it does not fit (`celeriac.decide.memory`); the study's others are not held up by it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from celeriac.decide.memory import KindsDecision, after_memory, other_kinds
from celeriac.domain.records import Claim, Device, Holdings, LiveGpu, Placed, PutAside, Resources, ShortTrial

_ROUNDING = 1e-6
#: A gang that may begin with fewer members waits so long for all of them; it makes room for more later.
GANG_PATIENCE_S = 5.0
OK = "ok"


@dataclass(frozen=True, slots=True)
class Spot:
    """A device, and what is free of it: a share, memory, and slots, which are workers. `usable`: healthy, and not
    taken out. `but_for`: studies that none of its slots can run. `kind`: the GPU's name.
    """

    uuid: str
    host: str
    is_gpu: bool
    memory_bytes: int
    labels: Mapping[str, str]
    slots: int
    share: float = 1.0
    free_bytes: int = 0
    usable: bool = True
    but_for: frozenset[int] = frozenset()
    kind: str = ""

    def fits(self, demand: "Demand") -> bool:
        """Whether one member of the demand has room here now."""
        if not self.suits(demand) or self.slots < 1:
            return False
        if not self.is_gpu:
            return True
        return self.share + _ROUNDING >= demand.share and self.free_bytes >= demand.bytes_on(self)

    def suits(self, demand: "Demand") -> bool:
        """Whether one member could run here if it were empty."""
        wants = demand.resources
        if not self.usable or demand.study_id in self.but_for or self.is_gpu is not wants.on_gpu:
            return False
        if self.kind in demand.barred:
            return False
        if self.memory_bytes < demand.memory_bytes and self.is_gpu:
            return False
        return all(self.labels.get(key) == value for key, value in wants.labels.items())

    def why_not(self, demand: "Demand") -> str:
        """What keeps a member of the demand from beginning here now, in words; "" where nothing does."""
        wants = demand.resources
        lacks = [f"{key}={value}" for key, value in wants.labels.items() if self.labels.get(key) != value]
        if not self.usable:
            return "it takes no trials now"
        if demand.study_id in self.but_for:
            return "it has not the study's code"
        if self.kind in demand.barred:
            return f"trial {demand.number} does not fit into the memory of a {self.kind}"
        if lacks:
            return f"it has no label {', '.join(lacks)}"
        if self.memory_bytes < demand.memory_bytes and self.is_gpu:
            return f"it has {_gib(self.memory_bytes)} in all, of {_gib(demand.memory_bytes)}"
        if self.slots < 1:
            unused = self.is_gpu and demand.share < 1 and self.share + _ROUNDING >= demand.share
            hint = f", though a share of {self.share:.2g} is free (CELERIAC_SLOTS_PER_GPU)" if unused else ""
            return f"all its slots are taken{hint}"
        if self.is_gpu and self.share + _ROUNDING < demand.share:
            return f"a share of {max(self.share, 0):.2g} is free, of {demand.share:g}"
        if self.is_gpu and self.free_bytes < demand.bytes_on(self):
            return f"{_gib(self.free_bytes)} are free, of {_gib(demand.bytes_on(self))}"
        return ""

    def without(self, share: float, memory_bytes: int, slots: int = 1) -> "Spot":
        """What is left when this much is taken."""
        return replace(
            self, share=self.share - share, free_bytes=self.free_bytes - memory_bytes, slots=self.slots - slots
        )


@dataclass(frozen=True, slots=True)
class Demand:
    """Trials of one study that may begin now: `ready` of them, each with `memory_bytes` of its device (0: it does not
    matter; where `is_unknown`: nobody knows). `within`: how many of them are within the study's part of the fleet;
    `waits_s`: since when it has been able to use more than it was given. `number`: it is for this trial alone, which
    must not run on `barred` kinds of GPU, and `why` so. `room`: so many trials of the study may begin, whatever its
    demands are for.
    """

    study_id: int
    resources: Resources
    ready: int
    memory_bytes: int = 0
    is_unknown: bool = False
    within: int = 1_000_000
    waits_s: float = 0.0
    number: int | None = None
    barred: frozenset[str] = frozenset()
    why: str = ""
    room: int = 1_000_000

    @property
    def share(self) -> float:
        """What one member takes of its GPU: all of it while it is to be measured."""
        return 1.0 if self.is_unknown else self.resources.share

    @property
    def size(self) -> tuple[float, float, int]:
        """By which the larger one is placed first."""
        return self.resources.members, self.share, self.memory_bytes

    def bytes_on(self, spot: Spot) -> int:
        """What one member holds of the device's memory."""
        return spot.memory_bytes if self.is_unknown else self.memory_bytes


@dataclass(frozen=True, slots=True)
class Place:
    """One trial of a study goes there: that of the number, or any whose place does not matter."""

    study_id: int
    placed: Placed
    number: int | None = None


@dataclass(frozen=True, slots=True)
class BarredTrial:
    """An open trial that ran out of memory, and where it may run. `is_ready`: a ticket may be sent for it."""

    study_id: int
    number: int
    is_ready: bool
    kinds: KindsDecision


@dataclass(frozen=True, slots=True)
class PlaceDecision:
    """`places` in the order in which they are given; `waits`: why a study's next trial is not placed, by study."""

    places: tuple[Place, ...] = ()
    waits: Mapping[int, str] = field(default_factory=dict)
    reserved: tuple[str, ...] = ()

    def of(self, study_id: int) -> list[Placed]:
        """The study's, for any of its trials."""
        return [each.placed for each in self.places if each.study_id == study_id and each.number is None]

    def own(self, study_id: int) -> dict[int, Placed]:
        """The study's, each for one trial alone, by its number."""
        ours = [each for each in self.places if each.study_id == study_id]
        return {each.number: each.placed for each in ours if each.number is not None}


def place(demands: Sequence[Demand], spots: Iterable[Spot], *, patience_s: float) -> PlaceDecision:
    """Place as many of the demanded trials as have room now."""
    free = {spot.uuid: spot for spot in spots}
    places: list[Place] = []
    waits: dict[int, str] = {}
    reserved: tuple[str, ...] = ()
    left = {(each.study_id, each.number): each for each in demands if each.ready > 0 and each.room > 0}
    while left:
        demand = min(left.values(), key=lambda each: _rank(each, patience_s))
        open_spots = [spot for spot in free.values() if spot.uuid not in reserved]
        found = _found(demand, open_spots)
        if found:
            share = demand.share if demand.resources.on_gpu else 0.0
            memory = max(map(demand.bytes_on, found)) if demand.resources.on_gpu else 0
            for spot in found:
                free[spot.uuid] = free[spot.uuid].without(share, memory)
            placed = Placed(tuple(spot.uuid for spot in found), share, memory)
            places.append(Place(demand.study_id, placed, demand.number))
            _count(left, demand)
            continue
        if demand.number is None or demand.study_id not in waits:  # of several such trials the first is told of
            said = _why(demand, list(free.values()), reserved)
            waits[demand.study_id] = "; ".join(filter(None, (waits.get(demand.study_id, ""), said)))
        if demand.waits_s > patience_s and not reserved:
            reserved = _reservation(demand, list(free.values()))
        del left[demand.study_id, demand.number]
    return PlaceDecision(tuple(places), waits, reserved)


def _count(left: dict[tuple[int, int | None], Demand], given: Demand) -> None:
    """One trial of this demand has its place: what is left of it, and of the others of its study."""
    for key, each in [(key, each) for key, each in left.items() if each.study_id == given.study_id]:
        is_given = each.number == given.number
        ready, waits_s = (each.ready - 1, 0.0) if is_given else (each.ready, each.waits_s)
        left[key] = replace(each, ready=ready, waits_s=waits_s, within=each.within - 1, room=each.room - 1)
        if not ready or each.room == 1:
            del left[key]


def _rank(demand: Demand, patience_s: float) -> tuple[bool, float, bool, float, float, int, int]:
    """Who is placed first: less is sooner."""
    late = demand.waits_s > patience_s
    members, share, memory = demand.size
    return not late, -demand.waits_s if late else 0.0, demand.within <= 0, -members, -share, -memory, demand.study_id


def _found(demand: Demand, spots: Sequence[Spot]) -> list[Spot]:
    """Where the trial's members go; empty: there is no room for it."""
    room = sorted((spot for spot in spots if spot.fits(demand)), key=_fullest_first)
    if not demand.resources.on_gpu:
        room = [spot for spot in room for _ in range(spot.slots)]  # a CPU's slots are alike, and members share a host
    members = demand.resources.members
    if members == 1:
        return room[:1]
    if len(room) < members and demand.waits_s > GANG_PATIENCE_S:
        members = max(min(len(room), members), demand.resources.least)
    return _together(room, members)


def _together(room: Sequence[Spot], members: int) -> list[Spot]:
    """So many, on the host with the least room that has them all; else on as few hosts as can be."""
    if len(room) < members:
        return []
    hosts: dict[str, list[Spot]] = {}
    for spot in room:
        hosts.setdefault(spot.host, []).append(spot)
    enough = [found for found in hosts.values() if len(found) >= members]
    if enough:
        return min(enough, key=lambda found: (len(found), found[0].host))[:members]
    largest = sorted(hosts.values(), key=lambda found: (-len(found), found[0].host))
    return [spot for found in largest for spot in found][:members]


def _fullest_first(spot: Spot) -> tuple[float, int, int, str]:
    return spot.share, spot.free_bytes, -spot.slots if not spot.is_gpu else spot.slots, spot.uuid


def _reservation(demand: Demand, spots: Sequence[Spot]) -> tuple[str, ...]:
    """The devices that are kept free for it: the emptiest that suit, on one host where one has enough.

    Nobody is placed there, so they stay the emptiest, and the next look chooses the same.
    """
    suiting = sorted((spot for spot in spots if spot.suits(demand)), key=lambda spot: (-spot.share, spot.uuid))
    members = demand.resources.members
    hosts: dict[str, list[Spot]] = {}
    for spot in suiting:
        hosts.setdefault(spot.host, []).append(spot)
    enough = [found[:members] for found in hosts.values() if len(found) >= members] or [suiting[:members]]
    best = max(enough, key=lambda found: (sum(spot.share for spot in found), found[0].host if found else ""))
    return tuple(spot.uuid for spot in best)


def _why(demand: Demand, spots: Sequence[Spot], reserved: Sequence[str]) -> str:
    """Why nothing has room for it, in words."""
    if demand.why:
        return f"trial {demand.number}: {demand.why}: {_why(replace(demand, why=''), spots, reserved)}"
    wants = demand.resources
    suiting = [spot for spot in spots if spot.suits(demand)]
    kind = "GPU" if wants.on_gpu else "CPU device"
    slots = sum(1 if wants.on_gpu else spot.slots for spot in suiting)
    if not suiting:
        labels = ", ".join(f"{key}={value}" for key, value in wants.labels.items())
        asked = [f"labels {labels}" if labels else "", f"{demand.memory_bytes} bytes" if demand.memory_bytes else ""]
        found = " and ".join(each for each in asked if each) or ("a slot for it" if demand.barred else "a slot")
        return f"no live {kind} that is healthy and not taken out has {found}"
    if wants.on_gpu and len(suiting) < wants.least:
        return f"it needs {wants.least} {kind}s, and {len(suiting)} suit it"
    if any(spot.fits(demand) for spot in suiting) and wants.members == 1:
        return "the devices with room are kept for a trial that has waited longer"
    held = " (some are kept for a trial that has waited longer)" if reserved else ""
    if demand.is_unknown:
        held += "; how much memory its trials take is not known yet, so each has a GPU to itself (`gpu_memory` says it)"
    return f"all {len(suiting)} {kind}s that suit it are taken, or have too little left{held}" if slots else "busy"


def room_for_members(demand: Demand, spots: Iterable[Spot]) -> int:
    """How many more members of the trial the devices have room for."""
    return sum(1 if spot.is_gpu else spot.slots for spot in spots if spot.fits(demand))


def barred_trials(claims: Sequence[Claim], short: Sequence[ShortTrial], devices: Sequence[Device]) -> list[BarredTrial]:
    """The open GPU trials that ran out of memory, and on which of the live devices each may run."""
    asked = {each.study_id: each.resources for each in claims if each.gpus}
    gpus = [LiveGpu(each.kind, each.memory_bytes, each.labels) for each in devices if each.is_gpu]
    found = []
    for each in short:
        kinds = after_memory(each.faults).barred
        if kinds and each.study_id in asked:
            decision = other_kinds(kinds, asked[each.study_id], gpus)
            found.append(BarredTrial(each.study_id, each.number, each.is_ready, decision))
    return found


def marked(claims: Sequence[Claim], devices: Sequence[Device], barred: Sequence[BarredTrial] = ()) -> list[Claim]:
    """The claims, with those marked that are placed: when the queue of their class cannot serve them; a gang on CPU
    slots without a wish gathers by that queue. Of GPU trials all are, as soon as one study is, a GPU has several
    slots, or one trial must not run on all kinds: or tickets of the class would take what was chosen for others.
    """
    shared = any(each.is_gpu and len(each.slots) > 1 for each in devices)
    shared = shared or any(each.is_ready and each.kinds.barred for each in barred)
    some = shared or any(each.gpus and _wants(each) and not each.resources.is_plain for each in claims)
    ours = {each.study_id for each in claims if _needs_place(each.resources) or (each.gpus and some)}
    return [replace(each, is_placed=True) if each.study_id in ours else each for each in claims]


def _needs_place(asked: Resources) -> bool:
    """Whether the queue of its class cannot serve it."""
    return not asked.is_plain if asked.on_gpu else bool(asked.labels)


def _wants(claim: Claim) -> bool:
    return claim.held > 0 or (claim.may_run and claim.demand > 0)


def spots_of(devices: Sequence[Device], put_asides: Sequence[PutAside]) -> dict[str, Spot]:
    """The devices as places for trials. A processor has room for one trial more than slots: its ticket waits there for
    the next slot, or those of plain studies would always be there first.
    """
    aside: dict[str, set[int]] = {}
    for each in put_asides:
        aside.setdefault(each.worker, set()).add(each.study_id)
    found = {}
    for device in devices:
        slots = [slot for slot in device.slots if 0 not in aside.get(slot, ())]
        without = [aside.get(slot, set()) for slot in slots]
        found[device.uuid] = Spot(
            device.uuid,
            device.host,
            device.is_gpu,
            device.memory_bytes,
            device.labels,
            len(slots) if device.is_gpu else len(slots) + 1,
            free_bytes=device.memory_bytes,
            usable=bool(slots),
            but_for=frozenset(set.intersection(*without) if without else ()),
            kind=device.kind if device.is_gpu else "",
        )
    return found


def spots_left(spots: Mapping[str, Spot], holdings: Holdings) -> dict[str, Spot]:
    """What is free of each device, after all that is placed on it and all that runs there."""
    left = dict(spots)
    running: dict[str, int] = {}
    for each in holdings.placed:
        for uuid in each.placed.devices:
            if uuid in left:
                left[uuid] = left[uuid].without(each.placed.share, each.placed.memory_bytes)
            running[uuid] = running.get(uuid, 0) + each.is_running
    for uuid, attempts in holdings.open_attempts.items():
        if uuid in left:
            # Those that came by the queue of their class hold a slot, and a GPU's only slot is all of it.
            others = max(attempts - running.get(uuid, 0), 0)
            left[uuid] = left[uuid].without(1.0 if others and spots[uuid].slots == 1 else 0.0, 0, others)
    return left


def _gib(size: int) -> str:
    return f"{max(size, 0) / 2**30:.1f} GiB"
