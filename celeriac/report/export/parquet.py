"""As one Parquet file with a row a trial: the columns of `Study.trials()`, typed."""

from typing import Any

from celeriac.domain.records import TrialRecord
from celeriac.report.export.study import Exported, lacking, plain_cell
from celeriac.report.rows import row_of


def write(found: Exported, out: str) -> int:
    """Write it to the file `out`. Raises ExtraMissing, OSError."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise lacking(error) from None
    rows = [_row(trial) for trial, _ in found.trials]
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: pyarrow.array(_alike([row.get(name) for row in rows])) for name in names}
    about = {"celeriac.study": found.record.name, "celeriac.goal": found.record.goal}
    parquet.write_table(pyarrow.table(columns).replace_schema_metadata(about), out)
    return len(rows)


def _row(trial: TrialRecord) -> dict[str, Any]:
    return {name: plain_cell(value) for name, value in row_of(trial).items()}


def _alike(values: list[Any]) -> list[Any]:
    """A column has one type: where options are of several (1, "auto", true) all of them become text."""
    kinds = {float if type(value) is int else type(value) for value in values if value is not None}
    return values if len(kinds) < 2 else [None if value is None else str(value) for value in values]
