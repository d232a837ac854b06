"""Commands that make something of a study's results: which parameters mattered, pictures, files."""

import re
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import typer

from celeriac.cli.exit_codes import FAILED
from celeriac.cli.json_output import print_json
from celeriac.cli.screen import Grid, remark, say, show
from celeriac.cli.service import AsJson, Home, StudyName, reached
from celeriac.report.plain import plain

if TYPE_CHECKING:
    from celeriac.report.explain.importance import Importance, Importances


Method = Annotated[
    Literal["ped-anova", "fanova"],
    typer.Option("--method", help="ped-anova: what makes a trial one of the best; fanova: what the scores vary with."),
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Directory for the files (default: STUDY-plots).", show_default=False)
]
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        help="Only these, separated by commas: history, parallel, importance, slices, rungs.",
        show_default=False,
    ),
]
Place = Annotated[
    str | None,
    typer.Option(
        "--out", help="File or directory to write (default: as the tool has it; csv: stdout).", show_default=False
    ),
]
Format = Annotated[
    Literal["csv", "json"] | None,
    typer.Option("--format", help="csv or json (default: as --out ends, else csv).", show_default=False),
]
To = Annotated[
    Literal["csv", "json", "parquet", "optuna", "mlflow", "tensorboard"] | None,
    typer.Option(
        "--to",
        help="For which tool. optuna: an SQLite file that optuna-dashboard opens; mlflow: --out names its server.",
        show_default=False,
    ),
]
Reports = Annotated[bool, typer.Option("--reports", help="The reports: a CSV row each, or within each trial's JSON.")]
_BAR = 24


def importance(study: StudyName, method: Method = "ped-anova", home: Home = None, as_json: AsJson = False) -> None:
    """Show which parameters mattered, judged by Optuna from the scored trials."""
    with reached(home) as client:
        judged = client.study(study).importance(method)
    if as_json:
        print_json({"study": study, **plain(judged)})
    elif judged.reason:
        remark(f"celeriac: {study}: {judged.reason}")
    else:
        say(judged.headline)
        show(_grid(judged))
        if judged.caution:
            remark(f"Careful: {judged.caution}.")
    raise typer.Exit(FAILED if judged.reason else 0)


def plot(study: StudyName, out: Out = None, kind: Kinds = None, home: Home = None, as_json: AsJson = False) -> None:
    """Draw a study: each picture as PNG and as a page that needs no network, and all of them on one page."""
    from celeriac.report.plots import KINDS, drawn

    kinds = _kinds(kind, list(KINDS))
    with reached(home) as client:
        scene = client.study(study).scene(kinds)
    charts = [KINDS[each](scene) for each in kinds]
    directory = out or Path(re.sub(r"[^A-Za-z0-9._-]", "_", study) + "-plots")
    try:
        written = drawn.write(study, charts, directory)
    except OSError as error:
        raise typer.BadParameter(f"--out {directory}: {error.strerror}") from None
    nothing = {each.kind: each.reason for each in charts if each.spec is None}
    if as_json:
        print_json({"study": study, "files": written, "nothing": nothing})
    else:
        for path in written:
            print(path)
        for each, reason in nothing.items():
            remark(f"{each}: nothing to show: {reason}")
    raise typer.Exit(0 if written else FAILED)


def export(
    study: StudyName,
    to: To = None,
    out: Place = None,
    format: Format = None,
    reports: Reports = False,
    home: Home = None,
) -> None:
    """Write a study for other tools: CSV, JSON, Parquet, Optuna (and its dashboard), MLflow or TensorBoard."""
    if to not in (None, "csv", "json"):
        _export_to(study, to, out or "", home)
        return
    _export_text(study, None if out is None else Path(out), to or format, reports, home)


def _export_to(study: str, tool: str, out: str, home: Path | None) -> None:
    from celeriac.report.export import usual_place

    with reached(home) as client:
        try:
            count = client.study(study).export(tool, out)
        except OSError as error:
            raise typer.BadParameter(f"--out {out}: {error.strerror or error}") from None
    remark(f"{count} trials of {study} in {out or usual_place(tool, study) or tool}")


def _export_text(study: str, out: Path | None, format: str | None, reports: bool, home: Path | None) -> None:
    """CSV, or JSON."""
    from celeriac.cli.exporting import write_csv, write_json

    as_json = format == "json" or (format is None and out is not None and out.suffix == ".json")
    with reached(home) as client:
        found = client.study(study)
        try:
            with _opened(out) as file:
                count = (write_json if as_json else write_csv)(found, file, reports=reports)
        except OSError as error:
            if out is None:
                raise
            raise typer.BadParameter(f"--out {out}: {error.strerror}") from None
    if out is not None:
        remark(f"{count} {'reports' if reports and not as_json else 'trials'} of {study} in {out}")


def _opened(out: Path | None) -> AbstractContextManager[TextIO]:
    """The file, or stdout. Raises typer.BadParameter for a file that cannot be written."""
    if out is None:
        return nullcontext(sys.stdout)
    try:
        return out.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise typer.BadParameter(f"--out {out}: {error.strerror}") from None


def _kinds(asked: list[str] | None, known: list[str]) -> list[str]:
    """The kinds that were asked for, each once, in their usual order. Raises typer.BadParameter."""
    words = {word.strip() for each in asked or [] for word in each.split(",") if word.strip()} or set(known)
    if unknown := sorted(words - set(known)):
        raise typer.BadParameter(f"{', '.join(unknown)}: no kind of picture; known: {', '.join(known)}")
    return [kind for kind in known if kind in words]


def _grid(judged: "Importances") -> Grid:
    largest = max((each.share or 0.0 for each in judged.parameters), default=0.0)
    with_spread = any(each.low is not None for each in judged.parameters)
    head = ("parameter", "share", "", *(["nine in ten"] if with_spread else []), "trials", "note")
    rows = [_row(each, largest, with_spread) for each in judged.parameters]
    return Grid(head, rows, frozenset({"share", "trials"}), spare=("trials",))


def _row(each: "Importance", largest: float, with_spread: bool) -> tuple[str, ...]:
    share, bar, note = "-", "", f"{each.condition}; too few trials have it"
    if each.share is not None:
        share, note = f"{each.share:.0%}", each.condition
        bar = "█" * round(_BAR * each.share / largest) if largest else ""
    spread = "" if each.low is None or each.high is None else f"{each.low:.0%} to {each.high:.0%}"
    return (each.name, share, bar, *([spread] if with_spread else []), str(each.trials), note)
