"""Whose turn it is on the fleet, as this coordinator sees it. Rule: rows say what studies hold; only who passed, and
who is how far behind, is remembered here.

A study that is offered a slot and cannot use it (its suggestions are being made, its sampler has no more, its trials
may not run yet) passes: the others share its part until it is driven again. A slot that takes no trials is none, and
one that lacks a study's code is none of that study's. Nothing is lost when this is forgotten.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import floor, inf

from celeriac.decide.credit import Account, settled, trials_behind
from celeriac.decide.deadlines import urgent
from celeriac.decide.placement import BarredTrial, Demand, barred_trials, marked, spots_of
from celeriac.decide.share import AHEAD_S, Share, Slots, next_in_turn, parts, share, spare
from celeriac.domain.records import Claim, Device, Placed, PutAside, Resources, Snapshot
from celeriac.domain.study_file import StudySpec
from celeriac.store import Store
from coordinator.placing import Placing

#: So old may the list of live devices be that a turn decides by: reading thousands of rows takes longer than a turn.
DEVICES_S = 1.0


def live_slots(devices: Sequence[Device], put_aside: Collection[str] = ()) -> Slots:
    """The slots of these devices, but those put aside: a GPU's take both kinds of trials."""

    def count(device: Device) -> int:
        return sum(slot not in put_aside for slot in device.slots) if put_aside else len(device.slots)

    gpu = sum(count(device) for device in devices if device.is_gpu)
    cards = sum(device.is_gpu and count(device) > 0 for device in devices)
    return Slots(gpu, sum(map(count, devices)) - gpu, cards)


#: What decides a study's turn, as long as nothing else wakes it: the slots and tickets that it holds, those of all
#: studies, the live slots, and how many studies pass.
TurnState = tuple[int, int, Slots, int]


def _with_members(store: Store, claims: Sequence[Claim]) -> Sequence[Claim]:
    """The claims, with the slots that their running gangs really have; read only where there may be any."""
    if not any(each.running and each.resources.is_gang for each in claims):
        return claims
    found = Counter[int]()
    for gang in store.running_gangs():
        found[gang.study_id] += gang.world
    return [replace(each, members=found[each.study_id]) if each.resources.is_gang else each for each in claims]


def _in_packs(store: Store, claims: Sequence[Claim]) -> list[Claim]:
    """The claims, of packs where trials share a slot; how many processes run is read only where there may be any."""
    running = [each.study_id for each in claims if each.pack > 1 and each.running]
    found = store.running_packs(running) if running else {}
    return [each.in_packs(found.get(each.study_id)) for each in claims]


def _barred(store: Store, claims: Sequence[Claim], devices: Sequence[Device]) -> list[BarredTrial]:
    """The trials that must not run on every kind of GPU; read only where there are several kinds."""
    ours = [each.study_id for each in claims if each.gpus and each.held + each.ready]
    if not ours or len({each.kind for each in devices if each.is_gpu}) < 2:
        return []
    return barred_trials(claims, store.short_trials(ours), devices)


@dataclass(slots=True)
class Fleet:
    """What was seen of slots and claims at the turn before, who passed, and the slots put aside at the last tick (they
    stay so for longer than a tick). One thread at a time.
    """

    slots: Slots = field(default_factory=Slots)
    claims: list[Claim] = field(default_factory=list)
    passed: set[int] = field(default_factory=set)
    put_asides: Sequence[PutAside] = ()
    accounts: dict[int, Account] = field(default_factory=dict)
    behind: dict[int, float] = field(default_factory=dict)
    announced: set[int] = field(default_factory=set)
    placing: Placing = field(default_factory=Placing)
    _devices: Sequence[Device] = ()
    _devices_at: float = -inf
    _asked_at: dict[int, datetime] = field(default_factory=dict)
    _turn_states: dict[int, TurnState] = field(default_factory=dict)

    def look(self, store: Store, now: float) -> None:
        """Read who holds what: once a turn, for what the turn itself changes is known. `now`: seconds of any clock."""
        if now - self._devices_at >= DEVICES_S:
            self._devices, self._devices_at = store.devices(alive=True), now
            self.slots = live_slots(self._devices, self._put_aside(0))
        claims = _in_packs(store, _with_members(store, store.claims()))
        barred = _barred(store, claims, self._devices)
        claims = marked(claims, self._devices, barred)
        self.placing.look(store, claims, spots_of(self._devices, self.put_asides), barred, now)
        self.claims = urgent([self._usable(each) for each in claims], self.slots)
        self.accounts = settled(self.accounts, self.claims)
        self.behind = trials_behind(self.accounts, self.claims)

    def slots_of(self, study_id: int, resources: Resources) -> int:
        """The live slots that may run this study, by the trials that they could run at once."""
        if self.is_placed(study_id):
            members = self._suiting(study_id, resources)
            return max(floor(members / resources.width), int(members >= resources.least))
        if all(each.study_id != study_id for each in self.put_asides):
            return self.slots.of(resources.gpus)
        return live_slots(self._devices, self._put_aside(study_id)).of(resources.gpus)

    def _suiting(self, study_id: int, resources: Resources) -> int:
        """The devices that suit the study, and the slots of those that are processors."""
        demand = Demand(study_id, resources, 1, resources.gpu_memory_bytes)
        return sum(1 if spot.is_gpu else spot.slots for spot in self.placing.spots.values() if spot.suits(demand))

    def _place(self, passed: Collection[int], eager: int | None = None) -> None:
        """Choose places anew: for what each study has ready, of the `eager` one for whatever it could use."""
        self.placing.decide(self.claims, parts(self.claims, self.slots, passed, self.behind), passed, eager)

    def placed(self, study_id: int, places: Mapping[int, Placed]) -> None:
        """These trials of the study have been placed, and the others have what is left."""
        self.placing.took(study_id, places)
        count = len(places)
        self.claims = [
            replace(each, queued=each.queued + count, ready=max(each.ready - count, 0))
            if each.study_id == study_id
            else each
            for each in self.claims
        ]
        self._place(self.passed - {study_id}, study_id)

    def tick(self, put_asides: Sequence[PutAside]) -> None:
        """Time has passed: these slots are put aside, and the next turn reads the devices anew."""
        self.put_asides, self._devices_at = put_asides, -inf

    def _put_aside(self, study_id: int) -> set[str]:
        return {each.worker for each in self.put_asides if each.study_id in (0, study_id)}

    def _usable(self, claim: Claim) -> Claim:
        """The claim, on no more slots than have the study's code; of one whose places are chosen, with their number."""
        if claim.is_placed:
            return replace(claim, suiting=self._suiting(claim.study_id, claim.resources))
        if all(each.study_id != claim.study_id for each in self.put_asides):
            return claim
        usable = self.slots_of(claim.study_id, claim.resources)
        return replace(claim, parallel=usable if claim.parallel is None else min(claim.parallel, usable))

    def share_of(self, snapshot: Snapshot, spec: StudySpec) -> Share:
        """The study's share, with its own counters as they are in the snapshot."""
        study = snapshot.study
        self.claims = [
            self._usable(replace(self._anew(each, snapshot, spec), is_placed=each.is_placed))
            if each.study_id == study.id
            else each
            for each in self.claims
        ]
        found = share(study.id, self.claims, self.slots, self.passed, self.behind)
        if not self.is_placed(study.id):
            return found
        self.placing.keep_ready(study.id, snapshot.ready)
        self._place(self.passed - {study.id}, study.id)
        now, own = len(self.placing.decision.of(study.id)), tuple(self.placing.decision.own(study.id))
        held = study.counts.queued + study.counts.running
        barred = frozenset(each.number for each in self.placing.barred_of(study.id))
        return Share(found.slots, now, 0, held + now + len(own), is_placed=True, own=own, barred=barred)

    def places_of(self, study_id: int, numbers: Sequence[int]) -> dict[int, Placed]:
        """Where these trials go: all of them have places of their own, or none; those without a place are left out."""
        own = self.placing.decision.own(study_id)
        if any(number in own for number in numbers):
            return {number: own[number] for number in numbers if number in own}
        return dict(zip(numbers, self.placing.decision.of(study_id), strict=False))

    def _anew(self, claim: Claim, snapshot: Snapshot, spec: StudySpec) -> Claim:
        return Claim.of(
            snapshot.study,
            trials=spec.budget.trials,
            resources=spec.resources,
            age_s=claim.age_s,
            weight=claim.weight,
            deadline_s=claim.deadline_s,
            members=claim.members,
            pack=spec.pack,
        ).in_packs(claim.running)

    def is_placed(self, study_id: int) -> bool:
        """Whether its trials go to devices that are chosen for them."""
        return any(each.is_placed for each in self.claims if each.study_id == study_id)

    def asks(self, study_id: int, now: datetime) -> None:
        """The study waits for suggestions; after AHEAD_S it passes."""
        if now - self._asked_at.setdefault(study_id, now) > timedelta(seconds=AHEAD_S):
            self.passed.add(study_id)

    def waits(self, study_id: int, last: Share) -> None:
        """The study's turn is over: it passes if its share would still have given it a slot."""
        self._asked_at.pop(study_id, None)
        if last.now:
            self.passed.add(study_id)
        else:
            self.passed.discard(study_id)

    def passes(self, study_id: int) -> None:
        """The study has no use for what it is offered."""
        self.passed.add(study_id)

    def forget(self, study_id: int) -> None:
        """The study claims nothing any more: who passed is asked anew, for there is more to be had."""
        self.passed.clear()
        self._asked_at.pop(study_id, None)
        self._turn_states.pop(study_id, None)
        self.claims = [each for each in self.claims if each.study_id != study_id]

    def keep_only(self, study_ids: Sequence[int]) -> None:
        """Forget who passed, of all other studies."""
        self.passed &= set(study_ids)
        self.announced &= set(study_ids)
        self._asked_at = {each: at for each, at in self._asked_at.items() if each in set(study_ids)}
        self._turn_states = {each: at for each, at in self._turn_states.items() if each in set(study_ids)}

    def turn_over(self, study_id: int) -> None:
        """The study's turn is over; called in the turn itself, before another thread's turn may look."""
        self._turn_states[study_id] = self._turn_state(study_id)

    def has_changed_since(self, study_id: int) -> bool:
        """Whether the study's turn could end otherwise now than it did. Of another thread's turn in between it could:
        what that has seen, this study's turn had not.
        """
        return self._turn_states.get(study_id) != self._turn_state(study_id)

    def _turn_state(self, study_id: int) -> TurnState:
        mine = sum(each.held for each in self.claims if each.study_id == study_id)
        return mine, sum(each.held for each in self.claims), self.slots, len(self.passed)

    def spare(self, claim: Claim) -> int:
        """Idle slots that nobody waits for, and that members of this study's gangs could have."""
        if claim.is_placed:
            self._place(self.passed)
            return self.placing.spare(claim)
        return spare(claim.gpus, self.claims, self.slots, self.passed, self.behind)

    def next_in_turn(self) -> int | None:
        """The study to which the next ticket belongs, if one is missing."""
        if any(each.is_placed for each in self.claims):
            self._place(self.passed)
            for each in self.placing.decision.places:
                return each.study_id
        return next_in_turn(self.claims, self.slots, self.passed, self.behind)
