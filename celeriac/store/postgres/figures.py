"""Figures that are counted when somebody looks."""

from celeriac.domain.records import ProposedSoFar
from celeriac.store.postgres.verbs import Verbs


class Figures(Verbs):
    """Verbs that count."""

    def proposed(self, study_id: int) -> ProposedSoFar:
        return self._all(ProposedSoFar, "proposed", study=study_id)[0]
