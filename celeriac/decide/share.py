"""How many slots is each study's share of the fleet, and which study gets the next ticket?

Promises: a study that could use slots has a share that one trial fits into. What it cannot use goes to the others. No
slot lacks a ticket while a study within its share is ready. At most slots + 2 x studies tickets are QUEUED. Studies
with about equally long trials start about as many trials a minute: one that had long trials by chance catches up, with
at most twice its share, and at most one and a half times the mean device time. Shares are in proportion to the claims'
weights: over time each study has its part of the device-seconds (`celeriac.decide.credit`).

There are two demand classes: a GPU trial runs only on a GPU's slots, a CPU trial on any. GPU trials come first on
GPUs, so CPU studies share what GPU studies do not hold. Of GPU studies that are placed they leave alone what those
could use: such a trial's ticket is sent when its GPU is free, and a CPU trial's would be there already.

A trial may hold a part of a slot, or several (a claim's width): slots are shared in slots, and what a study may run,
queue or be given is counted in its trials.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from math import ceil, floor

from celeriac.domain.records import Claim

#: For so long the fleet works on without the coordinator: a program that died is back by then.
AHEAD_S = 5.0
#: A study catches up until it has had so many times the mean device time.
MOST_DEVICE_TIME = 1.5
_ROUNDING = 1e-9
#: Of a trial, into so many parts is told apart who is further behind.
FINENESS = 2
#: Nobody is behind.
LEVEL: Mapping[int, float] = {}


@dataclass(frozen=True, slots=True)
class Slots:
    """Live slots: of GPUs, which take both kinds of trials, and of CPUs. `devices`: how many GPUs the former belong to,
    where they are not one each.
    """

    gpu: int = 0
    cpu: int = 0
    devices: int | None = None

    def of(self, gpus: float) -> int:
        """GPUs for a study which asks for GPUs; else all slots."""
        if gpus:
            return self.gpu if self.devices is None else self.devices
        return self.gpu + self.cpu


@dataclass(frozen=True, slots=True)
class Share:
    """One study's part of the fleet, in its trials: as many as fit its `slots`; `now` and `ahead`: tickets that it may
    add, for idle slots and for busy ones.

    `most`: how many tickets and running trials it may have together. `is_placed`: the tickets are for devices that were
    chosen, and none is sent before there is one. `barred`: ready trials that must not run on all kinds of devices;
    `own`: those of them for which a device was chosen. Tickets for these are added beside `now`.
    """

    slots: int = 0
    now: int = 0
    ahead: int = 0
    most: int = 0
    is_placed: bool = False
    own: tuple[int, ...] = ()
    barred: frozenset[int] = frozenset()


def share(
    study_id: int,
    claims: Sequence[Claim],
    slots: Slots,
    passed: Collection[int] = (),
    behind: Mapping[int, float] = LEVEL,
) -> Share:
    """The study's share. It takes its tickets as if it were ready; others only as many as they have ready.

    `passed`: studies that could not use what they were offered; they have no share until they can. `behind`: by how
    many trials each is behind the others.
    """
    mine = next((each for each in claims if each.study_id == study_id), None)
    if mine is None:
        return Share()
    fleet = _Fleet(mine.gpus, claims, slots, set(passed) - {study_id}, behind)
    part = fleet.parts.get(study_id)
    if part is None:
        return Share()
    dealt = [taken for owner, taken in fleet.deal(study_id) if owner == study_id]
    now = sum(taken < fleet.idle - _ROUNDING for taken in dealt)
    return Share(part.base, now, len(dealt) - now, part.most)


def parts(
    claims: Sequence[Claim], slots: Slots, passed: Collection[int] = (), behind: Mapping[int, float] = LEVEL
) -> dict[int, int]:
    """Each study's part of the fleet, in trials; those that have none are left out."""
    return {
        study_id: part.base
        for gpus in (1, 0)
        for study_id, part in _Fleet(gpus, claims, slots, passed, behind).parts.items()
    }


@dataclass(frozen=True, slots=True)
class ClassShares:
    """How a demand class stands: `free` slots, and how many trials each study's fair share is."""

    free: float
    fair: Mapping[int, int]


def class_shares(gpus: float, claims: Sequence[Claim], slots: Slots) -> ClassShares:
    """The slots of this demand class that no trial runs on, and the fair share of each study that could use slots."""
    fleet = _Fleet(gpus, claims, slots, (), LEVEL)
    return ClassShares(fleet.free, {study_id: part.base for study_id, part in fleet.parts.items()})


def next_in_turn(
    claims: Sequence[Claim], slots: Slots, passed: Collection[int] = (), behind: Mapping[int, float] = LEVEL
) -> int | None:
    """The study that is to be given the next ticket, and has a trial ready for it; None: no ticket is missing, or
    nobody has.
    """
    for gpus in (1, 0):
        for owner, _ in _Fleet(gpus, claims, slots, passed, behind).deal():
            return owner
    return None


def spare(
    gpus: float,
    claims: Sequence[Claim],
    slots: Slots,
    passed: Collection[int] = (),
    behind: Mapping[int, float] = LEVEL,
) -> int:
    """The idle slots of this demand class that nobody waits for: a running gang may grow into them."""
    fleet = _Fleet(gpus, claims, slots, passed, behind)
    dealt = [taken for _, taken in fleet.deal()]
    return 0 if dealt or fleet.is_reserved else floor(fleet.idle + _ROUNDING)


def in_line(gpus: float, claims: Sequence[Claim], slots: Slots) -> list[int]:
    """The studies that could use another slot of this demand class, the next one first."""
    parts = _Fleet(gpus, claims, slots, (), LEVEL).parts.values()
    wanting = [each for each in parts if each.claim.demand > each.claim.running]
    ordered = sorted(wanting, key=lambda each: (each.claim.running - each.base, each.claim.study_id))
    return [each.claim.study_id for each in ordered]


@dataclass(frozen=True, slots=True)
class _Part:
    """What one study may have: `base`, its fair share; `most` tickets and running trials; `lag`: by how many trials it
    is behind the others.
    """

    claim: Claim
    base: int
    most: int
    lag: float

    @property
    def urgency(self) -> float:
        """Less is more urgent: slots beyond its share, and trials that it is ahead; each ticket adds one to both.

        Of those about equally urgent the first opened comes first, so that they take turns in one order.
        """
        return self.claim.held - self.base + self.claim.queued - round(self.lag * FINENESS) / FINENESS


class _Fleet:
    """The slots of one demand class: `idle` ones that no ticket is coming to, those whose ticket is `missing`, and each
    claimant's part.
    """

    def __init__(
        self, gpus: float, claims: Sequence[Claim], slots: Slots, passed: Collection[int], behind: Mapping[int, float]
    ) -> None:
        ours = [each for each in claims if bool(each.gpus) == bool(gpus)]
        others = [each for each in claims if bool(each.gpus) != bool(gpus)]
        placed = [each for each in others if each.gpus and each.is_placed and each.study_id not in passed]
        others_hold = ceil(
            _slots(each.slots_wanted if each in placed else each.slots_held for each in others) - _ROUNDING
        )
        # GPU trials hold GPUs; of CPU trials, those that are more than the CPUs' slots sit on GPUs.
        taken = max(others_hold - slots.cpu, 0) if gpus else min(others_hold, slots.gpu)
        count = max(slots.of(gpus) - taken, 0)
        running = _slots(each.slots_running for each in ours)
        queued = _slots(each.queued * each.width for each in ours)
        self.free = free = max(count - running, 0)
        claimants = [
            each
            for each in ours
            if each.may_run and each.demand and each.study_id not in passed and each.resources.least <= max(count, 1)
        ]
        self.parts = _parts(claimants, count, behind)
        self.idle = max(free - queued, 0)
        # A ticket ahead would be on the GPU before the ticket of the trial that is placed there.
        keeps_clear = slots.gpu > 0 and any(each.slots_wanted > each.slots_held for each in placed)
        ahead = 0 if keeps_clear else _ahead(self.parts.values(), count)
        self.missing = max(free + ahead - queued, 0)
        self.is_reserved = False

    def deal(self, eager: int | None = None) -> Iterator[tuple[int, float]]:
        """To whom the missing tickets go, one after the other, each with the slots that went before it. Each study
        takes what it has ready, the `eager` one whatever is its.

        A gang gets its tickets together, once its least members have idle slots. While it is next in the line and
        they have not, nobody else is given any: so they become free, and small trials never starve a wide one.
        """
        line = []
        for study_id, part in self.parts.items():
            room = part.most - part.claim.held
            room = room if study_id == eager else min(room, part.claim.ready)
            if room > 0 and not part.claim.is_placed:
                line.append((part.urgency, study_id, room))
        heapify(line)
        taken = 0.0
        while taken < self.missing - _ROUNDING and line:
            urgency, study_id, room = line[0]
            asked = self.parts[study_id].claim.resources
            if asked.is_gang and taken + asked.least > self.idle + _ROUNDING:
                self.is_reserved = True
                return
            yield study_id, taken
            taken += asked.width
            if room > 1:
                heapreplace(line, (urgency + 2, study_id, room - 1))
            else:
                heappop(line)


def _parts(claimants: Sequence[Claim], slots: int, behind: Mapping[int, float]) -> dict[int, _Part]:
    level, parts = _level(claimants, slots), {}
    age_s, device_s = (
        sum(each.weight * each.age_s for each in claimants),
        sum(each.ran_s * each.width for each in claimants),
    )
    for each in claimants:
        base = min(each.demand, max(ceil(each.weight * level / each.width - _ROUNDING), 1))
        lag = behind.get(each.study_id, 0.0)
        has_had_most = each.ran_s * each.width * age_s > MOST_DEVICE_TIME * device_s * each.weight * each.age_s
        extra = 0 if has_had_most else min(max(floor(lag), 0), base)
        cap = min(base + extra, each.demand)
        most = min(cap + max(ceil(cap * _ends_soon(each) - _ROUNDING), 1), each.running + base + 1)
        if each.parallel is not None and (each.resources.is_gang or each.parallel * each.width < slots):
            most = min(most, each.parallel)  # a ticket ahead would be taken by a slot that may not run it
        parts[each.study_id] = _Part(each, base, most, lag)
    return parts


def _level(claimants: Sequence[Claim], slots: int) -> float:
    """The slots of a weight of 1 at which all are given out: who wants less leaves the rest to the others."""
    left, level, weight = float(slots), 0.0, sum(each.weight for each in claimants)
    for each in sorted(claimants, key=lambda each: each.demand * each.width / each.weight):
        level = left / weight
        if each.demand * each.width >= each.weight * level:
            break
        left, weight = max(left - each.demand * each.width, 0.0), max(weight - each.weight, _ROUNDING)
    return level


def _slots(widths: Iterable[float]) -> float:
    """Their sum; parts of slots that make up whole ones make exactly those."""
    found = sum(widths)
    return round(found) if abs(found - round(found)) < _ROUNDING else found


def _ahead(parts: Collection[_Part], slots: int) -> int:
    """How many slots have a ticket ahead: about as many as become free within AHEAD_S, at least one."""
    base = sum(part.base * part.claim.width for part in parts)
    ends = sum(part.base * part.claim.width * _ends_soon(part.claim) for part in parts)
    return max(ceil(slots * ends / base - _ROUNDING), 1) if base and slots else 0


def _ends_soon(claim: Claim) -> float:
    """The part of a study's running trials that ends within AHEAD_S; 0 while nothing is known."""
    mean_s = claim.mean_s
    if mean_s is None:
        return 0.0
    return 1.0 if mean_s <= AHEAD_S else AHEAD_S / mean_s
