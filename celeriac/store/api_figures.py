"""The store's contract for figures: a part of `celeriac.store.api.Store`, whose rules hold here too.

They are counted when somebody looks, for people, agents and monitors; no turn of the coordinator reads any.
"""

from collections.abc import Sequence
from typing import Protocol

from celeriac.domain.records import KnownCost, ProposedSoFar


class FigureStore(Protocol):
    """What is counted of the rows."""

    def proposed(self, study_id: int) -> Sequence[ProposedSoFar]:
        """What the study has taken from outside, and how it went, by proposer's name. Reads all its trials."""

    def known_cost(self, objective: str, most: int = 20) -> KnownCost:
        """What trials took in the newest so many studies of an objective that have finished any. From the studies' rows
        alone.
        """

    def figures(self) -> Sequence[tuple[str, tuple[str, ...], float]]:
        """What stands in the rows of all metrics that are read from them (`celeriac.runtime.metrics.table`): metric,
        label values, value. Its cost does not grow with the number of trials.
        """
