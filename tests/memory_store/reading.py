"""Reading trials, attempts, reports and logs, in pages."""

from collections import Counter
from collections.abc import Sequence

from celeriac.domain.records import (
    ENDED,
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
from celeriac.store.refusals import unknown_trial
from tests.memory_store.rows import Tables, atomic


class Reading(Tables):
    """Verbs that only read."""

    @atomic
    def trial(self, study_id: int, number: int) -> TrialRecord:
        return self._rows.trial(study_id, number)

    @atomic
    def trials(
        self, study_id: int, *, states: Sequence[TrialState] | None = None, after: int = -1, limit: int = 100
    ) -> list[TrialRecord]:
        found = (trial for trial in self._rows.trials_of(study_id) if trial.number > after)
        page = [trial for trial in found if states is None or trial.state in states][:limit]
        return self._rows.with_past(page)

    @atomic
    def attempts(self, study_id: int, number: int) -> list[Attempt]:
        held = (each.attempt for each in self._rows.attempts.values())
        return sorted(
            (each for each in held if (each.study_id, each.trial) == (study_id, number)), key=lambda each: each.number
        )

    def attempts_of(self, study_id: int, numbers: Sequence[int]) -> dict[int, list[Attempt]]:
        return {number: self.attempts(study_id, number) for number in numbers}

    def reports_of(self, study_id: int, numbers: Sequence[int]) -> dict[int, list[Report]]:
        return {number: self.reports(study_id, number) for number in numbers}

    @atomic
    def reports(self, study_id: int, number: int, *, attempt: int | None = None) -> list[Report]:
        return self._rows.reports_of(study_id, number, attempt)

    @atomic
    def rung_records(
        self, study_id: int, *, after: tuple[int, int, int] = (-1, -1, 0), limit: int = 1000
    ) -> list[RungRecord]:
        found = {
            (each.bracket, each.rung, each.place): each
            for each in self._rows.rungs.values()
            if each.study_id == study_id
        }
        return [found[key] for key in sorted(found) if key > after][:limit]

    @atomic
    def savings(self, study_id: int) -> Savings:
        newest = [
            (self._rows.trials[study_id, held.attempt.trial].state, held)
            for held in self._rows.attempts.values()
            if held.attempt.study_id == study_id
            and held.attempt.number == self._rows.trials[study_id, held.attempt.trial].attempts
        ]
        whole = [held.last_step for state, held in newest if state is TrialState.SCORED and held.last_step is not None]
        pruned = [held for state, held in newest if state is TrialState.PRUNED]
        steps, device_s = 0, 0.0
        for held in pruned:
            if held.last_step is not None and whole:
                spared, resumed = max(0, max(whole) - held.last_step), held.attempt.resumed_step
                run = max(1, held.last_step - (-1 if resumed is None else resumed))
                steps, device_s = steps + spared, device_s + spared * held.attempt.device_s / run
        if (self._rows.studies[study_id].spec.get("stop_early") or {}).get("rule") == "pbt":
            return Savings(len(pruned))
        return Savings(len(pruned), steps, device_s)

    @atomic
    def fault_counts(self, studies: Sequence[int]) -> dict[Fault, int]:
        found: Counter[Fault] = Counter()
        for trial in self._rows.trials.values():
            if trial.study_id in studies:
                found.update({Fault(fault): count for fault, count in trial.faults.items()})
        return dict(found)

    @atomic
    def codes(self, study_id: int) -> list[CodeRun]:
        ran: dict[str, list[int]] = {}
        for each in (held.attempt for held in self._rows.attempts.values()):
            if each.study_id == study_id and each.fingerprint:
                trial = self._rows.trials[study_id, each.trial]
                if trial.state in ENDED and each.number == trial.attempts:
                    ran.setdefault(each.fingerprint.split()[0], []).append(each.trial)
        found = (CodeRun(code, len(numbers), min(numbers), max(numbers)) for code, numbers in ran.items())
        return sorted(found, key=lambda each: (each.first, each.code))

    @atomic
    def checkpoints(self, study_id: int, number: int) -> list[Checkpoint]:
        return self._rows.checkpoints_of(study_id, number)

    @atomic
    def log_tail(self, study_id: int, number: int, attempt: int) -> str:
        known = {
            (each.attempt.study_id, each.attempt.trial, each.attempt.number) for each in self._rows.attempts.values()
        }
        if (study_id, number, attempt) not in known:
            raise unknown_trial(study_id, number, attempt)
        return self._rows.logs.get((study_id, number, attempt), "")
