"""What is to be placed for which study: what `celeriac.decide.placement` decides on, from rows."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from celeriac.decide.learned_memory import needed_bytes
from celeriac.decide.placement import BarredTrial, Demand, PlaceDecision, Spot, place, room_for_members, spots_left
from celeriac.domain.records import Claim, Holding, Holdings, Placed
from celeriac.store import Store

#: A trial has waited too long after so many mean lengths of those it waits for, and after 30 s at least. Sooner, on
#: a full fleet everybody is late, and who came first would count and not what fits.
PATIENCE_S, PATIENCE_TRIALS = 30.0, 3.0
#: So often what trials needed of their GPUs is read anew.
MEMORY_S = 5.0


@dataclass(slots=True)
class Placing:
    """What was seen at the last look, and since when each demand, a study's or one trial's, waits for a place. One
    thread at a time.
    """

    spots: Mapping[str, Spot] = field(default_factory=dict)
    holdings: Holdings = field(default_factory=Holdings)
    barred: Sequence[BarredTrial] = ()
    needs: dict[int, int | None] = field(default_factory=dict)
    decision: PlaceDecision = field(default_factory=PlaceDecision)
    now: float = 0.0
    _needs_at: float = -inf
    _waits_since: dict[tuple[int, int | None], float] = field(default_factory=dict)

    def look(
        self,
        store: Store,
        claims: Sequence[Claim],
        spots: Mapping[str, Spot],
        barred: Sequence[BarredTrial],
        now: float,
    ) -> None:
        """Read what holds the devices; nothing at all where no study is placed. `now`: seconds of any clock."""
        self.now, placed = now, [each for each in claims if each.is_placed]
        self.barred = [each for each in barred if each.kinds.barred]
        if not placed:
            self.spots, self.holdings = {}, Holdings()
            return
        self.spots, self.holdings = spots, store.holdings()
        if now - self._needs_at >= MEMORY_S or any(each.study_id not in self.needs for each in placed):
            peaks = store.peak_memory([each.study_id for each in placed if each.gpus and each.resources.share < 1])
            self.needs = {each.study_id: needed_bytes(each.resources, peaks.get(each.study_id)) for each in placed}
            self._needs_at = now

    def decide(
        self, claims: Sequence[Claim], parts: Mapping[int, int], passed: Collection[int], eager: int | None
    ) -> None:
        """Place what has room now and is ready, of the `eager` study whatever it could use. `parts`: each study's share
        of the fleet, in trials.
        """
        ours = [each for each in claims if each.is_placed and each.may_run and each.study_id not in passed]
        # Who has a part and nothing ready yet is about to: its suggestions are made. The others leave it its part.
        coming = {each.study_id for each in ours if not each.ready and each.held < parts.get(each.study_id, 0)}
        demands = [
            demand
            for each in ours
            for demand in self._demands(
                each, parts.get(each.study_id, 1), eager == each.study_id, bool(coming - {each.study_id})
            )
        ]
        wanting = {(each.study_id, each.number) for each in demands if each.ready > 0 and each.room > 0}
        self._waits_since = {key: at for key, at in self._waits_since.items() if key in wanting}
        for key in wanting:
            self._waits_since.setdefault(key, self.now)
        means = [each.mean_s for each in claims if each.is_placed and each.mean_s]
        patience_s = max(PATIENCE_S, PATIENCE_TRIALS * sum(means) / len(means) if means else 0.0)
        self.decision = place(demands, spots_left(self.spots, self.holdings).values(), patience_s=patience_s)

    def _demands(self, claim: Claim, part: int, eager: bool, others_come: bool) -> Iterator[Demand]:
        """What the study has for any device, and before that each trial which is not for all."""
        study_id, own = claim.study_id, self.barred_of(claim.study_id)
        need = self.needs.get(study_id, 0)
        room = max((part if others_come else claim.demand) - claim.held, 0)
        others = claim.ready if claim.pack else claim.ready - len(own)  # a pack's counts are of packs
        any_device = Demand(
            study_id,
            claim.resources,
            ready=max(min(room, others + claim.left * eager), 0),
            memory_bytes=need or 0,
            is_unknown=need is None,
            within=part - claim.held,
            waits_s=self._waited_s(study_id, None),
            room=room,
        )
        for each in own:
            number, kinds = each.number, each.kinds
            waits_s = self._waited_s(study_id, number)
            yield replace(any_device, ready=1, number=number, barred=kinds.barred, why=kinds.reason, waits_s=waits_s)
        yield any_device

    def _waited_s(self, study_id: int, number: int | None) -> float:
        return self.now - self._waits_since.get((study_id, number), self.now)

    def barred_of(self, study_id: int) -> list[BarredTrial]:
        """The study's trials that are ready, and not for all kinds of devices."""
        return [each for each in self.barred if each.study_id == study_id and each.is_ready]

    def keep_ready(self, study_id: int, numbers: Collection[int]) -> None:
        """Of the study's trials these alone are ready."""
        self.barred = [
            replace(each, is_ready=False) if each.study_id == study_id and each.number not in numbers else each
            for each in self.barred
        ]

    def spare(self, claim: Claim) -> int:
        """The devices on which further members of the study's running gangs could be, if nobody waits for a place."""
        if self.decision.waits or self.decision.places:
            return 0
        barred = [each.kinds.barred for each in self.barred if each.study_id == claim.study_id]
        need = self.needs.get(claim.study_id) or 0
        demand = Demand(claim.study_id, claim.resources, 1, need, barred=frozenset().union(*barred))
        return room_for_members(demand, spots_left(self.spots, self.holdings).values())

    def took(self, study_id: int, places: Mapping[int, Placed]) -> None:
        """These trials of the study have their places."""
        new = tuple(Holding(study_id, number, 0, False, 0.0, placed) for number, placed in places.items())
        self.holdings = replace(self.holdings, placed=(*self.holdings.placed, *new))
        own = {each.number for each in self.barred_of(study_id)} & places.keys()
        for number in own | ({None} if places.keys() - own else set()):
            self._waits_since.pop((study_id, number), None)
        self.barred = [
            replace(each, is_ready=False) if each.study_id == study_id and each.number in own else each
            for each in self.barred
        ]
