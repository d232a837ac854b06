"""What a running trial reports: values, checkpoints, rungs. Rule: a repeat changes nothing, and the first that came
stays.

A report that crosses rungs is ranked in the statement that inserts it, at the same cost at a rung's tenth record and
at its ten thousandth.
"""

from collections.abc import Sequence
from typing import Any

from celeriac.domain.records import Checkpoint, Crossing, Report, RungRecord
from celeriac.store.api import ReportAck
from celeriac.store.postgres.records import record_of, values_of
from celeriac.store.postgres.verbs import Verbs
from celeriac.store.refusals import first_at_each


class Reports(Verbs):
    """Verbs of the worker while its trial runs."""

    def report(self, token: str, reports: Sequence[Report], crossings: Sequence[Crossing] = ()) -> ReportAck:
        if not reports:
            return ReportAck()
        last = max(reports, key=lambda each: each.step)
        written = {
            "token": token,
            "last_step": last.step,
            "last_value": float(last.value),
            "reports": tuple(_report_row(each) for each in reports),
        }
        rungs: tuple[RungRecord, ...] = ()
        if first := first_at_each(crossings):
            rungs = self._ranked(written, first)
        elif not self._rows("report", **written):
            raise self._lost(token)
        if all(each.checkpoint is None for each in reports):
            return ReportAck(rungs=rungs)
        return ReportAck(tuple(self._all(Checkpoint, "own_checkpoints", token=token)), rungs)

    def _ranked(self, written: dict[str, Any], crossings: Sequence[Crossing]) -> tuple[RungRecord, ...]:
        """The trial's records. A place that another took first is asked for again; each time somebody gets one."""
        asked = tuple(_crossing_row(each) for each in crossings)
        while True:
            rows = self._rows("report_at_rungs", **written, crossings=asked)
            if not rows:
                raise self._lost(written["token"])
            found = tuple(record_of(RungRecord, row) for row in rows if row["rung"] is not None)
            if len(found) == len(crossings):
                return found

    def own_reports(self, token: str) -> list[Report]:
        return self._all(Report, "own_reports", token=token)

    def forget_checkpoints(self, token: str, paths: Sequence[str]) -> None:
        self._rows("forget_checkpoints", token=token, paths=list(paths))

    def drop_checkpoints(self, token: str, kept: Sequence[str] = ()) -> bool:
        return any(row["ended"] for row in self._rows("drop_checkpoints", token=token, kept=list(kept)))


def _report_row(report: Report) -> dict[str, Any]:
    kept = values_of(report.checkpoint) if report.checkpoint is not None else {}
    at = report.at.isoformat() if report.at else None
    return {**kept, "step": report.step, "value": float(report.value), "metrics": report.metrics, "at": at}


def _crossing_row(crossing: Crossing) -> dict[str, Any]:
    ranking = crossing.ranking
    place = {"bracket": ranking.bracket, "divisor": ranking.of, "spare": ranking.spare, "times": ranking.times}
    return {name: getattr(crossing, name) for name in ("rung", "step", "resource", "value")} | place
