"""Whose turn it is on the fleet, as this coordinator sees it. Rule: rows say what studies hold; only who passed, and
who is how far behind, is remembered here.

A study that is offered a slot and cannot use it (its suggestions are being made, its sampler has no more, its trials
may not run yet) passes: the others share its part until it is driven again. A slot that takes no trials is none, and
one that lacks a study's code is none of that study's. Nothing is lost when this is forgotten.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import inf

from celeriac.decide.credit import Account, settled, trials_behind
from celeriac.decide.deadlines import urgent
from celeriac.decide.share import AHEAD_S, Share, Slots, next_in_turn, share, spare
from celeriac.domain.records import Claim, Device, PutAside, Snapshot
from celeriac.domain.study_file import StudySpec
from celeriac.store import Store

#: So old may the list of live devices be that a turn decides by: reading thousands of rows takes longer than a turn.
DEVICES_S = 1.0


def live_slots(devices: Sequence[Device], put_aside: Collection[str] = ()) -> Slots:
    """The slots of these devices, but those put aside: a GPU's take both kinds of trials."""

    def count(device: Device) -> int:
        return sum(slot not in put_aside for slot in device.slots) if put_aside else len(device.slots)

    gpu = sum(count(device) for device in devices if device.is_gpu)
    return Slots(gpu, sum(map(count, devices)) - gpu)


#: What decides a study's turn, as long as nothing else wakes it: the slots and tickets that it holds, those of all
#: studies, the live slots, and how many studies pass.
Standing = tuple[int, int, Slots, int]


def _with_members(store: Store, claims: Sequence[Claim]) -> Sequence[Claim]:
    """The claims, with the slots that their running gangs really have; read only where there may be any."""
    if not any(each.running and each.resources.is_gang for each in claims):
        return claims
    found = Counter[int]()
    for gang in store.running_gangs():
        found[gang.study_id] += gang.world
    return [replace(each, members=found[each.study_id]) if each.resources.is_gang else each for each in claims]


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
    _devices: Sequence[Device] = ()
    _devices_at: float = -inf
    _asked_at: dict[int, datetime] = field(default_factory=dict)
    _standings: dict[int, Standing] = field(default_factory=dict)

    def look(self, store: Store, now: float) -> None:
        """Read who holds what: once a turn, for what the turn itself changes is known. `now`: seconds of any clock."""
        if now - self._devices_at >= DEVICES_S:
            self._devices, self._devices_at = store.devices(alive=True), now
            self.slots = live_slots(self._devices, self._put_aside(0))
        self.claims = urgent([self._usable(each) for each in _with_members(store, store.claims())], self.slots)
        self.accounts = settled(self.accounts, self.claims)
        self.behind = trials_behind(self.accounts, self.claims)

    def slots_of(self, study_id: int, gpus: float) -> int:
        """The live slots that may run this study."""
        if all(each.study_id != study_id for each in self.put_asides):
            return self.slots.of(gpus)
        return live_slots(self._devices, self._put_aside(study_id)).of(gpus)

    def tick(self, put_asides: Sequence[PutAside]) -> None:
        """Time has passed: these slots are put aside, and the next turn reads the devices anew."""
        self.put_asides, self._devices_at = put_asides, -inf

    def _put_aside(self, study_id: int) -> set[str]:
        return {each.worker for each in self.put_asides if each.study_id in (0, study_id)}

    def _usable(self, claim: Claim) -> Claim:
        """The claim, on no more slots than have the study's code."""
        if all(each.study_id != claim.study_id for each in self.put_asides):
            return claim
        usable = self.slots_of(claim.study_id, claim.gpus)
        return replace(claim, parallel=usable if claim.parallel is None else min(claim.parallel, usable))

    def share_of(self, snapshot: Snapshot, spec: StudySpec) -> Share:
        """The study's share, with its own counters as they are in the snapshot."""
        study = snapshot.study
        self.claims = [
            self._usable(
                Claim.of(
                    study,
                    trials=spec.budget.trials,
                    resources=spec.resources,
                    age_s=each.age_s,
                    weight=each.weight,
                    deadline_s=each.deadline_s,
                    members=each.members,
                )
            )
            if each.study_id == study.id
            else each
            for each in self.claims
        ]
        return share(study.id, self.claims, self.slots, self.passed, self.behind)

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
        self._standings.pop(study_id, None)
        self.claims = [each for each in self.claims if each.study_id != study_id]

    def keep_only(self, study_ids: Sequence[int]) -> None:
        """Forget who passed, of all other studies."""
        self.passed &= set(study_ids)
        self.announced &= set(study_ids)
        self._asked_at = {each: at for each, at in self._asked_at.items() if each in set(study_ids)}
        self._standings = {each: at for each, at in self._standings.items() if each in set(study_ids)}

    def turn_over(self, study_id: int) -> None:
        """The study's turn is over; called in the turn itself, before another thread's turn may look."""
        self._standings[study_id] = self._standing(study_id)

    def has_changed_since(self, study_id: int) -> bool:
        """Whether the study's turn could end otherwise now than it did. Of another thread's turn in between it could:
        what that has seen, this study's turn had not.
        """
        return self._standings.get(study_id) != self._standing(study_id)

    def _standing(self, study_id: int) -> Standing:
        mine = sum(each.held for each in self.claims if each.study_id == study_id)
        return mine, sum(each.held for each in self.claims), self.slots, len(self.passed)

    def spare(self, gpus: float) -> int:
        """Idle slots that nobody waits for."""
        return spare(gpus, self.claims, self.slots, self.passed, self.behind)

    def next_in_turn(self) -> int | None:
        """The study to which the next ticket belongs, if one is missing."""
        return next_in_turn(self.claims, self.slots, self.passed, self.behind)
