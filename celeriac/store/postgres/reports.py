"""What a running trial reports: values, checkpoints, rungs. Rule: a repeat changes nothing, and the first that came
stays.

A report that crosses rungs is ranked in the statement that inserts it, at the same cost at a rung's tenth record and
at its ten thousandth.
"""

from collections.abc import Sequence
from typing import Any

from celeriac.domain.records import Crossing, Report, RungRecord
from celeriac.store.api import ReportAck
from celeriac.store.connection import Database
from celeriac.store.postgres.fence import lost
from celeriac.store.postgres.functions import call
from celeriac.store.postgres.rows import checkpoint_record, report_record, rung_record
from celeriac.store.values import first_at_each, json_text, plain_report

REPORT = call("report")
REPORT_AT_RUNGS = call("report_at_rungs")
REPORTS = call("own_reports")
CHECKPOINTS = call("own_checkpoints")
FORGET = call("forget_checkpoints")
DROP = call("drop_checkpoints")


class Reports:
    """Verbs of the worker while its trial runs."""

    _db: Database

    def report(self, token: str, reports: Sequence[Report], crossings: Sequence[Crossing] = ()) -> ReportAck:
        """See `Store.report`."""
        if not reports:
            return ReportAck()
        last = max(reports, key=lambda each: each.step)
        written = {
            "token": token,
            "last_step": last.step,
            "last_value": float(last.value),
            "reports": json_text([_report_row(plain_report(each)) for each in reports]),
        }
        first = first_at_each(crossings)
        if first:
            rungs = self._ranked(written, first)
        elif self._db.row(REPORT, **written) is None:
            raise lost(self._db, token)
        else:
            rungs = ()
        if all(each.checkpoint is None for each in reports):
            return ReportAck(rungs=rungs)
        kept = self._db.rows(CHECKPOINTS, token=token)
        return ReportAck(tuple(checkpoint_record(row) for row in kept), rungs)

    def _ranked(self, written: dict[str, Any], crossings: Sequence[Crossing]) -> tuple[RungRecord, ...]:
        """The trial's records. A place that another took first is asked for again; each time somebody gets one."""
        asked = json_text([_crossing_row(each) for each in crossings])
        while True:
            rows = self._db.rows(REPORT_AT_RUNGS, **written, crossings=asked)
            if not rows:
                raise lost(self._db, written["token"])
            found = tuple(rung_record(row) for row in rows if row["rung"] is not None)
            if len(found) == len(crossings):
                return found

    def own_reports(self, token: str) -> list[Report]:
        """See `Store.own_reports`."""
        return [report_record(row) for row in self._db.rows(REPORTS, token=token)]

    def forget_checkpoints(self, token: str, paths: Sequence[str]) -> None:
        """See `Store.forget_checkpoints`."""
        self._db.rows(FORGET, token=token, paths=list(paths))

    def drop_checkpoints(self, token: str) -> bool:
        """See `Store.drop_checkpoints`."""
        row = self._db.row(DROP, token=token)
        return row is not None and bool(row["ended"])


def _report_row(report: Report) -> dict[str, Any]:
    row: dict[str, Any] = {
        "step": report.step,
        "value": report.value,
        "metrics": report.metrics,
        "at": report.at.isoformat() if report.at else None,
    }
    if report.checkpoint is not None:
        kept = report.checkpoint
        row |= {"path": kept.path, "sha256": kept.sha256, "size_bytes": kept.size_bytes}
    return row


def _crossing_row(crossing: Crossing) -> dict[str, Any]:
    ranking = crossing.ranking
    return {
        "rung": crossing.rung,
        "step": crossing.step,
        "resource": crossing.resource,
        "value": crossing.value,
        "bracket": ranking.bracket,
        "divisor": ranking.of,
        "spare": ranking.spare,
    }
