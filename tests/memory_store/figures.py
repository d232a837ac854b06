"""Figures, counted from the rows in memory."""

from collections.abc import Sequence

from celeriac.domain.records import KnownCost, ProposedSoFar, Source, TrialRecord, TrialState
from tests.memory_store.rows import Tables, atomic


class Figures(Tables):
    """Verbs that count."""

    @atomic
    def proposed(self, study_id: int) -> Sequence[ProposedSoFar]:
        sign = -1 if self._rows.study(study_id).goal == "maximize" else 1
        trials = [each for each in self._rows.trials_of(study_id) if each.state is not TrialState.CANCELLED]
        own = sorted(
            sign * (each.score or 0.0)
            for each in trials
            if each.state is TrialState.SCORED and each.source is not Source.PROPOSED
        )
        by_name: dict[str, list[TrialRecord]] = {}
        for each in trials:
            if each.source is Source.PROPOSED:
                by_name.setdefault(each.why.get("who") or "", []).append(each)
        found = []
        for who, given in sorted(by_name.items()):
            scored = [sign * (each.score or 0.0) for each in given if each.state is TrialState.SCORED]
            hits = sum(loss <= own[(len(own) - 1) // 2] for loss in scored) if own else 0
            found.append(ProposedSoFar(who, len(given), sum(each.ended_no is not None for each in given), hits))
        return found

    @atomic
    def known_cost(self, objective: str, most: int = 20) -> KnownCost:
        of = [each for each in self._rows.studies.values() if each.spec.get("objective") == objective]
        newest = sorted((each for each in of if each.counts.finished), key=lambda each: -each.id)[:most]
        trials, ran_s = sum(each.counts.finished for each in newest), sum(each.ran_s for each in newest)
        return KnownCost(len(newest), trials, ran_s)

    @atomic
    def figures(self) -> Sequence[tuple[str, tuple[str, ...], float]]:
        states = dict.fromkeys(TrialState, 0)
        for each in self._rows.trials.values():
            states[each.state] += 1
        return [("trials", (str(state),), float(count)) for state, count in states.items()]
