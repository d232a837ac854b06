"""A study written out for other tools: one CSV row a trial or a report, or all of it as JSON. Nothing is rounded.

A cell that is no number, text or moment (a list in a metric, say) is JSON. CSV has no null: an empty cell is one.
"""

import csv
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, TextIO

from celeriac.cli import json_output
from celeriac.client.study import Study
from celeriac.report.rows import row_of


def write_csv(study: Study, out: TextIO, *, reports: bool) -> int:
    """One row a trial, or one a report; returns how many. Parameters come after what every row has, then metrics, and
    the blocks of the hold-out last.
    """
    rows = list(study.each_report()) if reports else [row_of(trial) for trial in study.each_trial()]
    columns = sorted(dict.fromkeys(column for row in rows for column in row), key=_group)
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    if columns:
        writer.writeheader()
    for row in rows:
        writer.writerow({column: _cell(value) for column, value in row.items()})
    return len(rows)


def write_json(study: Study, out: TextIO, *, reports: bool) -> int:
    """The study's row and its trials with their attempts (and reports), as the other `--json` forms are."""
    trials = list(_trials(study, reports))
    out.write(json_output.dump({"study": json_output.study_form(study.record), "trials": trials}) + "\n")
    return len(trials)


def _group(column: str) -> int:
    return ("params", "metrics", "holdout").index(column.partition(".")[0]) + 1 if "." in column else 0


def _trials(study: Study, reports: bool) -> Iterator[dict[str, Any]]:
    for page in study.pages():
        numbers = [trial.number for trial in page]
        runs = study.attempts_of(numbers)
        told = study.reports_of(numbers) if reports else {}
        for trial in page:
            form = json_output.trial_form(trial, runs[trial.number])
            if reports:
                form["reports"] = [
                    {key: getattr(each, key) for key in ("step", "value", "metrics", "at")}
                    for each in told[trial.number]
                ]
            yield form


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, (str, int, float)) and not isinstance(value, bool)):
        return "" if value is None else value
    return value.isoformat() if isinstance(value, datetime) else json.dumps(value, ensure_ascii=False)
