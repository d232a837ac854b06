"""Figures that are counted when somebody looks."""

from collections.abc import Sequence

from celeriac.domain.records import KnownCost, ProposedSoFar
from celeriac.store.postgres.verbs import Verbs


class Figures(Verbs):
    """Verbs that count."""

    def proposed(self, study_id: int) -> Sequence[ProposedSoFar]:
        return self._all(ProposedSoFar, "proposed", study=study_id)

    def known_cost(self, objective: str, most: int = 20) -> KnownCost:
        return self._all(KnownCost, "known_cost", objective=objective, most=most)[0]

    def figures(self) -> Sequence[tuple[str, tuple[str, ...], float]]:
        return [(row["name"], tuple(row["labels"]), float(row["value"])) for row in self._rows("figures")]
