"""Commands that make something of a study's results: which parameters mattered. What they say is worked out in `celeriac.explain`."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from celeriac.cli import FAILED
from celeriac.cli.service import AsJson, Home, StudyName, connected

if TYPE_CHECKING:
    from celeriac.cli.screen import Grid
    from celeriac.explain.importance import Importance, Importances


class _Method(StrEnum):
    PED_ANOVA = "ped-anova"
    FANOVA = "fanova"


Method = Annotated[
    _Method,
    typer.Option(
        "--method", help="ped-anova: what makes a trial one of the best; fanova: what the scores vary with."
    ),
]
_BAR = 24


def importance(
    study: StudyName, method: Method = _Method.PED_ANOVA, home: Home = None, as_json: AsJson = False
) -> None:
    """Show which parameters mattered, judged by Optuna from the scored trials."""
    from celeriac.cli import forms
    from celeriac.cli.screen import remark, say, show

    with connected(home) as client:
        judged = client.study(study).importance(method.value)
    if as_json:
        print(forms.dump({"study": study, **forms.plain(judged)}))
    elif judged.reason:
        remark(f"celeriac: {study}: {judged.reason}")
    else:
        say(_headline(judged))
        show(_grid(judged))
        if judged.caution:
            remark(f"Careful: {judged.caution}.")
    raise typer.Exit(FAILED if judged.reason else 0)


def _headline(judged: "Importances") -> str:
    from celeriac.explain.importance import QUESTIONS

    of = "" if judged.used == judged.trials else f" of {judged.trials}"
    return f"{QUESTIONS[judged.method]} ({judged.method}, {judged.used}{of} scored trials)"


def _grid(judged: "Importances") -> "Grid":
    from celeriac.cli.screen import Grid

    largest = max((each.share or 0.0 for each in judged.parameters), default=0.0)
    with_spread = any(each.low is not None for each in judged.parameters)
    head = ("parameter", "share", "", *(["nine in ten"] if with_spread else []), "trials", "note")
    rows = [_row(each, largest, with_spread) for each in judged.parameters]
    return Grid(head, rows, frozenset({"share", "trials"}))


def _row(each: "Importance", largest: float, with_spread: bool) -> tuple[str, ...]:
    share, bar, note = "-", "", f"{each.condition}; too few trials have it"
    if each.share is not None:
        share, note = f"{each.share:.0%}", each.condition
        bar = "█" * round(_BAR * each.share / largest) if largest else ""
    spread = "" if each.low is None or each.high is None else f"{each.low:.0%} to {each.high:.0%}"
    return (each.name, share, bar, *([spread] if with_spread else []), str(each.trials), note)
