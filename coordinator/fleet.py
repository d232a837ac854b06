"""Whose turn it is on the fleet, as this coordinator sees it. Rule: rows say what studies hold; only who passed is
remembered here.

A study that is offered a slot and cannot use it (its suggestions are being made, its sampler has no more, its trials
may not run yet)
passes: the others share its part until it is driven again. Nothing is lost when this is forgotten.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from celeriac.decide.share import AHEAD_S, Share, Slots, next_in_turn, share
from celeriac.domain.records import Claim, Device, Snapshot
from celeriac.domain.study_file import StudySpec
from celeriac.store import Store


def live_slots(devices: Sequence[Device]) -> Slots:
    """The slots of these devices: a GPU's take both kinds of trials."""
    gpu = sum(len(device.slots) for device in devices if device.is_gpu)
    return Slots(gpu, sum(len(device.slots) for device in devices) - gpu)


@dataclass(slots=True)
class Fleet:
    """What was seen of slots and claims at the turn before, and who passed. One thread at a time."""

    slots: Slots = field(default_factory=Slots)
    claims: list[Claim] = field(default_factory=list)
    passed: set[int] = field(default_factory=set)
    _asked_at: dict[int, datetime] = field(default_factory=dict)

    def look(self, store: Store, devices: Sequence[Device]) -> None:
        """Read who holds what: once a turn, for what the turn itself changes is known."""
        self.slots, self.claims = live_slots(devices), store.claims()

    def share_of(self, snapshot: Snapshot, spec: StudySpec) -> Share:
        """The study's share, with its own counters as they are in the snapshot."""
        study = snapshot.study
        self.claims = [
            Claim.of(study, trials=spec.budget.trials, gpus=spec.gpus, age_s=each.age_s)
            if each.study_id == study.id
            else each
            for each in self.claims
        ]
        return share(study.id, self.claims, self.slots, self.passed)

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
        """The study claims nothing any more."""
        self.passed.discard(study_id)
        self._asked_at.pop(study_id, None)
        self.claims = [each for each in self.claims if each.study_id != study_id]

    def keep_only(self, study_ids: Sequence[int]) -> None:
        """Forget who passed, of all other studies."""
        self.passed &= set(study_ids)
        self._asked_at = {each: at for each, at in self._asked_at.items() if each in set(study_ids)}

    def standing(self, study_id: int) -> tuple[int, int]:
        """What the study holds, and how many pass: as long as both are the same, its turn would end as it did."""
        return sum(each.held for each in self.claims if each.study_id == study_id), len(self.passed)

    def next_in_turn(self) -> int | None:
        """The study to which the next ticket belongs, if one is missing."""
        return next_in_turn(self.claims, self.slots, self.passed)
