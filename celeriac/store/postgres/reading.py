"""Reading trials, attempts, reports and logs, in pages."""

from collections.abc import Sequence

from celeriac.domain.records import (
    Attempt,
    Checkpoint,
    CodeRun,
    Fault,
    Report,
    RungRecord,
    Savings,
    TrialRecord,
    TrialState,
)
from celeriac.store.postgres.records import record_of
from celeriac.store.postgres.verbs import Verbs
from celeriac.store.refusals import unknown_trial


class Reading(Verbs):
    """Verbs that only read."""

    def trial(self, study_id: int, number: int) -> TrialRecord:
        if found := self._one(TrialRecord, "trial", study=study_id, number=number):
            return found
        raise unknown_trial(study_id, number)

    def trials(
        self, study_id: int, *, states: Sequence[TrialState] | None = None, after: int = -1, limit: int = 100
    ) -> list[TrialRecord]:
        wanted = None if states is None else list(states)
        return self._all(TrialRecord, "trials", study=study_id, states=wanted, after=after, limit=limit)

    def attempts(self, study_id: int, number: int) -> list[Attempt]:
        return self.attempts_of(study_id, [number])[number]

    def attempts_of(self, study_id: int, numbers: Sequence[int]) -> dict[int, list[Attempt]]:
        found: dict[int, list[Attempt]] = {number: [] for number in numbers}
        for each in self._all(Attempt, "attempts", study=study_id, numbers=list(found)):
            found[each.trial].append(each)
        return found

    def reports_of(self, study_id: int, numbers: Sequence[int]) -> dict[int, list[Report]]:
        return self._reports(study_id, numbers, None)

    def reports(self, study_id: int, number: int, *, attempt: int | None = None) -> list[Report]:
        return self._reports(study_id, [number], attempt)[number]

    def _reports(self, study_id: int, numbers: Sequence[int], attempt: int | None) -> dict[int, list[Report]]:
        found: dict[int, list[Report]] = {number: [] for number in numbers}
        for row in self._rows("reports", study=study_id, numbers=list(found), attempt=attempt):
            found[row["trial"]].append(record_of(Report, row))
        return found

    def rung_records(
        self, study_id: int, *, after: tuple[int, int, int] = (-1, -1, 0), limit: int = 1000
    ) -> list[RungRecord]:
        place = dict(zip(("bracket", "rung", "place"), after, strict=True))
        return self._all(RungRecord, "rung_records", study=study_id, limit=limit, **place)

    def rung_leaders(self, study_id: int, number: int, limit: int) -> list[RungRecord]:
        return self._all(RungRecord, "rung_leaders", study=study_id, trial=number, limit=limit)

    def savings(self, study_id: int) -> Savings:
        return self._all(Savings, "savings", study=study_id)[0]

    def fault_counts(self, studies: Sequence[int]) -> dict[Fault, int]:
        return {Fault(row["fault"]): row["faults"] for row in self._rows("fault_counts", studies=list(studies))}

    def codes(self, study_id: int) -> list[CodeRun]:
        return self._all(CodeRun, "codes", study=study_id)

    def checkpoints(self, study_id: int, number: int) -> list[Checkpoint]:
        return self._all(Checkpoint, "checkpoints", study=study_id, number=number)

    def log_tail(self, study_id: int, number: int, attempt: int) -> str:
        found = self._rows("log_tail", study=study_id, number=number, attempt=attempt)
        if not found:
            raise unknown_trial(study_id, number, attempt)
        return str(found[0]["tail"])
