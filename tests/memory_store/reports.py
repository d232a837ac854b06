"""What a running trial reports: values, checkpoints, rungs. Rule: a repeat changes nothing, and the first that came
stays.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from celeriac.domain.records import ENDED, Attempt, Checkpoint, Crossing, Report, RungRecord
from celeriac.store.api import ReportAck
from celeriac.store.refusals import first_at_each
from celeriac.store.sanitize import plain_json
from tests.memory_store.rows import Tables, atomic


class Reports(Tables):
    """Verbs of the worker while its trial runs."""

    @atomic
    def report(self, token: str, reports: Sequence[Report], crossings: Sequence[Crossing] = ()) -> ReportAck:
        if not reports:
            return ReportAck()
        held = self._rows.held(token)
        trial = self._rows.trial(held.attempt.study_id, held.attempt.trial)
        for each in reports:
            self._keep_report(held.attempt, each)
        last = max(reports, key=lambda each: each.step)
        if held.last_step is None or last.step >= held.last_step:
            held.last_step, held.last_value = last.step, float(last.value)
        self._rows.trials[trial.study_id, trial.number] = replace(
            trial, last_step=held.last_step, last_value=held.last_value
        )
        rungs = [self._at_rung(held.attempt, each) for each in first_at_each(crossings)]
        if all(each.checkpoint is None for each in reports):
            return ReportAck(rungs=tuple(rungs))
        return ReportAck(tuple(self._rows.checkpoints_of(trial.study_id, trial.number)), tuple(rungs))

    @atomic
    def own_reports(self, token: str) -> list[Report]:
        held = self._rows.attempts.get(token)
        if held is None or not held.is_open:
            return []
        return self._rows.reports_of(held.attempt.study_id, held.attempt.trial)

    @atomic
    def forget_checkpoints(self, token: str, paths: Sequence[str]) -> None:
        held = self._rows.attempts.get(token)
        if held is not None and held.is_open:
            self._forget(held.attempt, lambda each: each.path in paths)

    @atomic
    def drop_checkpoints(self, token: str, kept: Sequence[str] = ()) -> bool:
        held = self._rows.attempts.get(token)
        if held is None or self._rows.trial(held.attempt.study_id, held.attempt.trial).state not in ENDED:
            return False
        self._forget(held.attempt, lambda each: each.path not in kept)
        return True

    def _forget(self, attempt: Attempt, doomed: Callable[[Checkpoint], bool]) -> None:
        for key, each in list(self._rows.checkpoints.items()):
            if key[:2] == (attempt.study_id, attempt.trial) and doomed(each):
                del self._rows.checkpoints[key]

    def _keep_report(self, attempt: Attempt, report: Report) -> None:
        key = (attempt.study_id, attempt.trial, report.step, attempt.number)
        kept = replace(
            report,
            value=float(report.value),
            metrics=plain_json(report.metrics),
            at=report.at or self._rows.clock(),
            checkpoint=None,
        )
        self._rows.reports.setdefault(key, kept)
        if report.checkpoint is not None:
            named = replace(
                report.checkpoint,
                study_id=attempt.study_id,
                trial=attempt.trial,
                attempt=attempt.number,
                step=report.step,
            )
            self._rows.checkpoints.setdefault(key, named)

    def _at_rung(self, attempt: Attempt, crossing: Crossing) -> RungRecord:
        """The trial's record at this rung; a new one is ranked among all that are there."""
        key = (attempt.study_id, attempt.trial, crossing.rung)
        if key not in self._rows.rungs:
            self._rows.rungs[key] = self._ranked(attempt, crossing)
        return self._rows.rungs[key]

    def _ranked(self, attempt: Attempt, crossing: Crossing) -> RungRecord:
        ranking = crossing.ranking
        where = (attempt.study_id, ranking.bracket, crossing.rung)
        there = [each for each in self._rows.rungs.values() if (each.study_id, each.bracket, each.rung) == where]
        values = sorted([*(each.value for each in there), crossing.value], reverse=ranking.goal == "maximize")
        return RungRecord(
            study_id=attempt.study_id,
            bracket=ranking.bracket,
            rung=crossing.rung,
            place=len(values),
            trial=attempt.trial,
            attempt=attempt.number,
            step=crossing.step,
            resource=crossing.resource,
            value=crossing.value,
            cutoff=values[ranking.kept(len(values)) - 1],
            at=self._rows.clock(),
        )
