"""What is to be placed for which study: what `celeriac.decide.placement` decides on, from rows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from celeriac.decide.learned_memory import needed_bytes
from celeriac.decide.placement import Demand, PlaceDecision, Spot, place, room_for_members, spots_left
from celeriac.domain.records import Claim, Holding, Holdings, Placed
from celeriac.store import Store

#: A trial has waited too long after so many mean lengths of those it waits for, and after 30 s at least. Sooner, on
#: a full fleet everybody is late, and who came first would count and not what fits.
PATIENCE_S, PATIENCE_TRIALS = 30.0, 3.0
#: So often what trials needed of their GPUs is read anew.
MEMORY_S = 5.0


@dataclass(slots=True)
class Placing:
    """What was seen at the last look, and since when each study waits for a place. One thread at a time."""

    spots: Mapping[str, Spot] = field(default_factory=dict)
    holdings: Holdings = field(default_factory=Holdings)
    needs: dict[int, int | None] = field(default_factory=dict)
    decision: PlaceDecision = field(default_factory=PlaceDecision)
    now: float = 0.0
    _needs_at: float = -inf
    _waits_since: dict[int, float] = field(default_factory=dict)

    def look(self, store: Store, claims: Sequence[Claim], spots: Mapping[str, Spot], now: float) -> None:
        """Read what holds the devices; nothing at all where no study is placed. `now`: seconds of any clock."""
        self.now, placed = now, [each for each in claims if each.is_placed]
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
            self._demand(each, parts.get(each.study_id, 1), eager == each.study_id, bool(coming - {each.study_id}))
            for each in ours
        ]
        wanting = {each.study_id for each in demands if each.ready > 0}
        self._waits_since = {key: at for key, at in self._waits_since.items() if key in wanting}
        for study_id in wanting:
            self._waits_since.setdefault(study_id, self.now)
        means = [each.mean_s for each in claims if each.is_placed and each.mean_s]
        patience_s = max(PATIENCE_S, PATIENCE_TRIALS * sum(means) / len(means) if means else 0.0)
        self.decision = place(demands, spots_left(self.spots, self.holdings).values(), patience_s=patience_s)

    def _demand(self, claim: Claim, part: int, eager: bool, others_come: bool) -> Demand:
        room = (part if others_come else claim.demand) - claim.held
        room = room if eager else min(room, claim.ready)
        need = self.needs.get(claim.study_id, 0)
        return Demand(
            claim.study_id,
            claim.resources,
            ready=max(room, 0),
            memory_bytes=need or 0,
            is_unknown=need is None,
            within=part - claim.held,
            waits_s=self.now - self._waits_since.get(claim.study_id, self.now),
        )

    def spare(self, claim: Claim) -> int:
        """The devices on which further members of the study's running gangs could be, if nobody waits for a place."""
        if self.decision.waits or self.decision.places:
            return 0
        demand = Demand(claim.study_id, claim.resources, 1, self.needs.get(claim.study_id) or 0)
        return room_for_members(demand, spots_left(self.spots, self.holdings).values())

    def took(self, study_id: int, places: Mapping[int, Placed]) -> None:
        """These trials of the study have their places."""
        new = tuple(Holding(study_id, number, 0, False, 0.0, placed) for number, placed in places.items())
        self.holdings = replace(self.holdings, placed=(*self.holdings.placed, *new))
        self._waits_since.pop(study_id, None)
