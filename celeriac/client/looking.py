"""The part of a study's handle that looks at its trials and at what it waits for."""

from collections.abc import Sequence

from celeriac.client.progress import newest_failure
from celeriac.client.proposing import Proposer, proposers_of
from celeriac.client.waiting import PlaceWait, TimeLimits, pending_then, place_of, time_limits_of, waiting_of
from celeriac.decide.waiting import WaitDecision
from celeriac.domain.records import Attempt, CodeRun, GangPlace, Report, Savings, StudyRecord, TrialRecord, TrialState
from celeriac.store import Store

_NEWEST_ENDS = 3


class Looking:
    """Looks at one study, answered from the store."""

    _store: Store
    id: int

    def attempts_of(self, numbers: Sequence[int]) -> dict[int, list[Attempt]]:
        """The attempts of each of these trials, first to last."""
        return self._store.attempts_of(self.id, numbers)

    def reports_of(self, numbers: Sequence[int]) -> dict[int, list[Report]]:
        """What each of these trials reported, by step; a later attempt's value where a step came twice."""
        return self._store.reports_of(self.id, numbers)

    def log_tail(self, number: int, attempt: int) -> str:
        """What an attempt printed last, capped. Raises UnknownTrial."""
        return self._store.log_tail(self.id, number, attempt)

    def pending_then(self, trial: TrialRecord) -> list[int]:
        """The numbers of the trials that were pending when this one was suggested."""
        return pending_then(self._store, trial)

    def last_failure(self) -> TrialRecord | None:
        """The newest failure among its newest ends, else any failed trial."""
        ended = self._store.study(self.id).counts.ended
        newest = newest_failure(self._store.ended_since(self.id, max(ended - _NEWEST_ENDS, 0)))
        return newest or newest_failure(self._store.trials(self.id, states=[TrialState.FAILED], limit=1))

    def savings(self) -> Savings:
        """What early stopping has spared."""
        return self._store.savings(self.id)

    def codes(self) -> list[CodeRun]:
        """Which code its ended trials ran."""
        return self._store.codes(self.id)

    def gang_places(self, trials: Sequence[TrialRecord]) -> list[GangPlace]:
        """Where the members of these trials' gangs are."""
        return gang_places(self._store, self._store.study(self.id), trials)

    def waiting(self) -> tuple[WaitDecision, TimeLimits, PlaceWait | None]:
        """What it waits for, what its time is limited by, and what its next trial's place lacks."""
        limits, place = time_limits_of(self._store, self._store.study(self.id)), place_of(self._store, self.id)
        return waiting_of(self._store, self.id, "" if place is None else place.reason), limits, place

    def proposers(self) -> list[Proposer]:
        """Who has proposed points to it, how those went, and how many more it takes now."""
        return proposers_of(self._store, self.id)

    def aside(self, slots: Sequence[str]) -> list[tuple[str, str]]:
        """Those of these slots that take no trial of it now, with the reason."""
        rows = self._store.put_asides()
        return [(each.worker, each.reason) for each in rows if each.worker in slots and each.study_id in (0, self.id)]


def gang_places(store: Store, study: StudyRecord, trials: Sequence[TrialRecord]) -> list[GangPlace]:
    """Where the members of these trials' gangs are; asked only of a study whose trials have several."""
    numbers = [each.number for each in trials if each.state in (TrialState.RUNNING, TrialState.QUEUED)]
    return store.gang_places(study.id, numbers) if numbers and study.resources.is_gang else []
