"""The store's contract for population based training: a part of `celeriac.store.api.Store`; its rules hold here too."""

from typing import Protocol

from celeriac.domain.records import RungRecord


class PopulationStore(Protocol):
    """What is needed to find who takes the place of a trial that fell behind."""

    def rung_leaders(self, study_id: int, number: int, limit: int) -> list[RungRecord]:
        """A trial's record at the first rung where it was not among the kept; then the best of those that came there up
        to it, best first, of equals the earlier, at most `limit`. None where it was kept at all.
        """
