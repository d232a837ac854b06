"""What a running trial reports: values, checkpoints, rungs. Rule: a repeat changes nothing, and the first that came stays.

A report that crosses rungs is ranked in the statement that inserts it, at the same cost at a rung's tenth record and at its ten
thousandth.
"""
# ruff: noqa: S608 (statements are put together from constants of this room; values are always bound)

from collections.abc import Sequence
from typing import Any

from celeriac.records import Crossing, Report, RungRecord
from celeriac.store.api import Landed
from celeriac.store.connection import Database, Row, sql
from celeriac.store.postgres.fence import lost
from celeriac.store.postgres.reading import checkpoints_of
from celeriac.store.postgres.rows import RUNG, rung_record
from celeriac.store.values import first_at_each, json_text, plain_report

FORGET = sql(
    "DELETE FROM checkpoint WHERE study_id = :study AND trial = :number AND path = ANY(CAST(:paths AS text[]))"
)

_REPORTED = """
    WITH e AS (
        UPDATE attempt SET last_step = :last_step, last_value = :last_value
        WHERE token = :token AND ended_at IS NULL RETURNING study_id, trial, number
    ), x AS (
        SELECT e.study_id, e.trial, e.number AS attempt, r.* FROM e, json_to_recordset(CAST(:reports AS json))
            AS r(step bigint, value float8, metrics json, at timestamptz, path text, sha256 text, size_bytes bigint)
    ), r AS (
        INSERT INTO report (study_id, trial, attempt, step, value, metrics, at)
        SELECT study_id, trial, attempt, step, value, metrics, coalesce(at, clock_timestamp()) FROM x
        ON CONFLICT DO NOTHING
    ), k AS (
        INSERT INTO checkpoint (study_id, trial, attempt, step, path, sha256, size_bytes)
        SELECT study_id, trial, attempt, step, path, sha256, size_bytes FROM x WHERE path IS NOT NULL
        ON CONFLICT DO NOTHING
    )
"""
REPORT = sql(f"{_REPORTED} SELECT study_id, trial FROM e")

# A rung is ranked by (loss, place). Its newest record `n` knows the cutoff: the last record that is kept, of the n.place there are.
# With one record more the cutoff moves by one place at most: to its neighbour `b` before it, `w` behind it, or to the new record `c`.
# Whoever takes the next place first has it: the unique index makes the second wait, and then insert nothing (`Reports.report`).
_OF_ITS_RUNG = "r.study_id = c.study_id AND r.bracket = c.bracket AND r.rung = c.rung"
REPORT_AT_RUNGS = sql(
    f"""{_REPORTED}, c AS (
        SELECT e.study_id, e.trial, e.number AS attempt, c.*, sign * value AS loss
        FROM e, json_to_recordset(CAST(:crossings AS json)) AS
            c(rung bigint, step bigint, resource float8, value float8, sign int, bracket int, divisor int, spare int)
    ), known AS (
        SELECT k.* FROM c CROSS JOIN LATERAL (
            SELECT * FROM rung r WHERE r.study_id = c.study_id AND r.trial = c.trial AND r.rung = c.rung LIMIT 1
        ) k
    ), m AS (
        SELECT c.*, coalesce(n.place, 0) + 1 AS place, n.cutoff, n.cutoff_place, b.loss AS b_loss, b.place AS b_place,
            w.loss AS w_loss, w.place AS w_place, CASE
                WHEN n.place IS NULL THEN 'c'
                WHEN (c.loss < n.cutoff) = (greatest(1, (n.place + 1 + spare) / divisor) > greatest(1, (n.place + spare) / divisor))
                    THEN 'n'
                WHEN c.loss < n.cutoff THEN CASE WHEN b.loss > c.loss THEN 'b' ELSE 'c' END
                WHEN w.loss <= c.loss THEN 'w' ELSE 'c'
            END AS last_kept
        FROM c LEFT JOIN LATERAL (
            SELECT place, sign * cutoff AS cutoff, cutoff_place FROM rung r WHERE {_OF_ITS_RUNG} ORDER BY place DESC LIMIT 1
        ) n ON true LEFT JOIN LATERAL (
            SELECT loss, place FROM rung r WHERE {_OF_ITS_RUNG} AND (loss, place) < (n.cutoff, n.cutoff_place)
            ORDER BY loss DESC, place DESC LIMIT 1
        ) b ON true LEFT JOIN LATERAL (
            SELECT loss, place FROM rung r WHERE {_OF_ITS_RUNG} AND (loss, place) > (n.cutoff, n.cutoff_place)
            ORDER BY loss, place LIMIT 1
        ) w ON true
        WHERE NOT EXISTS (SELECT 1 FROM known WHERE known.rung = c.rung)
    ), new AS (
        INSERT INTO rung (study_id, trial, rung, bracket, place, attempt, step, resource, value, loss, cutoff, cutoff_place)
        SELECT study_id, trial, rung, bracket, place, attempt, step, resource, value, loss,
            sign * CASE last_kept WHEN 'c' THEN loss WHEN 'n' THEN cutoff WHEN 'b' THEN b_loss ELSE w_loss END,
            CASE last_kept WHEN 'c' THEN place WHEN 'n' THEN cutoff_place WHEN 'b' THEN b_place ELSE w_place END
        FROM m ORDER BY rung ON CONFLICT DO NOTHING RETURNING *
    )
    SELECT e.study_id AS of_study, e.trial AS of_trial, {RUNG}
    FROM e LEFT JOIN (SELECT * FROM known UNION ALL SELECT * FROM new) r ON true ORDER BY r.rung
    """
)


class Reports:
    """Verbs of the worker while its trial runs."""

    _db: Database

    def report(self, token: str, reports: Sequence[Report], crossings: Sequence[Crossing] = ()) -> Landed:
        """See `Store.report`."""
        if not reports:
            return Landed()
        last = max(reports, key=lambda each: each.step)
        written = {
            "token": token,
            "last_step": last.step,
            "last_value": float(last.value),
            "reports": json_text([_report_row(plain_report(each)) for each in reports]),
        }
        first = first_at_each(crossings)
        if first:
            study_id, number, rungs = self._ranked(written, first)
        else:
            trial = self._db.row(REPORT, **written)
            if trial is None:
                raise lost(self._db, token)
            study_id, number, rungs = trial["study_id"], trial["trial"], ()
        if all(each.checkpoint is None for each in reports):
            return Landed(rungs=rungs)
        return Landed(tuple(checkpoints_of(self._db, study_id, number)), rungs)

    def _ranked(
        self, written: dict[str, Any], crossings: Sequence[Crossing]
    ) -> tuple[int, int, tuple[RungRecord, ...]]:
        """The study, the trial and its records. A place that another took first is asked for again; each time somebody gets one."""
        asked = json_text([_crossing_row(each) for each in crossings])
        while True:
            rows = self._db.rows(REPORT_AT_RUNGS, **written, crossings=asked)
            if not rows:
                raise lost(self._db, written["token"])
            found = tuple(rung_record(_without_owner(row)) for row in rows if row["rung"] is not None)
            if len(found) == len(crossings):
                return rows[0]["of_study"], rows[0]["of_trial"], found

    def forget_checkpoints(self, study_id: int, number: int, paths: Sequence[str]) -> None:
        """See `Store.forget_checkpoints`."""
        self._db.rows(FORGET, study=study_id, number=number, paths=list(paths))


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
        "sign": -1 if ranking.goal == "maximize" else 1,
        "bracket": ranking.bracket,
        "divisor": ranking.of,
        "spare": ranking.spare,
    }


def _without_owner(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in ("of_study", "of_trial")}
