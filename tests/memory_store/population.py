"""Population based training. Rule: a trial is compared with those that its own record was ranked among."""

from celeriac.domain.records import RungRecord
from tests.memory_store.rows import Tables, atomic


class Population(Tables):
    """Verbs of who gives trials that fell behind an heir."""

    @atomic
    def rung_leaders(self, study_id: int, number: int, limit: int) -> list[RungRecord]:
        sign = 1.0 if self._rows.studies[study_id].goal == "minimize" else -1.0
        mine = [each for each in self._rows.rungs.values() if (each.study_id, each.trial) == (study_id, number)]
        behind = [each for each in mine if sign * each.value > sign * each.cutoff]
        if not behind:
            return []
        own = min(behind, key=lambda each: each.rung)
        there = [
            each
            for each in self._rows.rungs.values()
            if (each.study_id, each.bracket, each.rung) == (study_id, own.bracket, own.rung) and each.place <= own.place
        ]
        return [own, *sorted(there, key=lambda each: (sign * each.value, each.place))[:limit]]
