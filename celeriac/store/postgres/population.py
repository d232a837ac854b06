"""Population based training. Rule: a trial is compared with those that its own record was ranked among."""

from celeriac.domain.records import RungRecord
from celeriac.store.postgres.verbs import Verbs


class Population(Verbs):
    """Verbs of who gives trials that fell behind an heir."""

    def rung_leaders(self, study_id: int, number: int, limit: int) -> list[RungRecord]:
        return self._all(RungRecord, "rung_leaders", study=study_id, trial=number, limit=limit)
