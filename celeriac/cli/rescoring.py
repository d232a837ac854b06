"""`celeriac study replay`: a slice's past nights under another gate or another sampler, from the rows alone."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from celeriac.cli import text
from celeriac.cli.json_output import print_json
from celeriac.cli.screen import Grid, say, show
from celeriac.cli.service import AsJson, Home, connected

if TYPE_CHECKING:
    from celeriac.decide.night.rescore import RescoredNight

app = typer.Typer(
    name="study",
    help="What past studies would have found by other settings.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    """What past studies would have found by other settings."""


ScheduleName = Annotated[str, typer.Argument(metavar="SCHEDULE", help="The schedule's name.", show_default=False)]
SliceName = Annotated[
    str | None, typer.Option("--slice", metavar="SLICE", help="The slice, such as airport=JFK; needed where several.")
]
Gate = Annotated[
    str | None,
    typer.Option("--gate", metavar="RULES", help="Rules of the gate: min_gain=0.01,pairs=12,fdr=0.1 (fdr=none)."),
]
Sampler = Annotated[
    str | None, typer.Option("--sampler", metavar="NAME", help="A sampler, as in a study file: optuna:TPESampler.")
]
Nights = Annotated[int, typer.Option("--last", min=1, max=1000, help="Of so many searches (`--sampler`).")]
Seeds = Annotated[int, typer.Option("--seeds", min=1, max=100, help="The mean over so many seeds (`--sampler`).")]
_SAID = {"": "no test", "unknown": "cannot tell"}


@app.command("replay")
def replay(
    schedule: ScheduleName,
    slice_: SliceName = None,
    gate: Gate = None,
    sampler: Sampler = None,
    last: Nights = 30,
    seeds: Seeds = 5,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Score a slice's past nights again under another gate or another sampler, from the rows alone.

    Nothing is trained and nothing written. What the rows cannot tell is said.
    """
    from celeriac.client.champions import find_slice
    from celeriac.client.rescore import gate_changes, rescore_gate, rescore_sampler
    from celeriac.domain.study_file import full_slice_name

    if gate is None and sampler is None:
        raise typer.BadParameter("say what would be otherwise: --gate min_gain=0.01,pairs=12 or --sampler NAME")
    changes = None if gate is None else gate_changes(gate)
    with connected(home, why="it reads all rows of all its nights") as client:
        where = find_slice(client.store, schedule, slice_)
        nights = None if changes is None else rescore_gate(client.store, schedule, where, changes)
        searches = (
            None if sampler is None else rescore_sampler(client, schedule, where, sampler, nights=last, seeds=seeds)
        )
    if as_json:
        print_json(_form(schedule, where, nights, searches))
        return
    named = full_slice_name(schedule, where)
    if nights is not None:
        say(f"{named} with {gate}, decided on the pairs that were run:\n")
        _show_gate(nights)
    if searches is not None:
        gap = "" if nights is None else "\n"
        say(f"{gap}{named} with {sampler}, each point answered by its night's nearest trial:\n")
        _show_sampler(searches, seeds)


def _form(
    schedule: str, slice_: Mapping[str, Any], nights: "Sequence[RescoredNight] | None", searches: Any
) -> dict[str, Any]:
    from celeriac.decide.night.rescore import counted_outcomes

    told = None if nights is None else {"nights": nights, "counts": counted_outcomes(nights)}
    return {"schedule": schedule, "slice": slice_, "gate": told, "sampler": searches}


def _show_gate(nights: "Sequence[RescoredNight]") -> None:
    from celeriac.decide.night.rescore import counted_outcomes

    head = ("night", "was", "would", "pairs", "of", "gain (interval)", "p", "why")
    numeric = frozenset({"pairs", "of", "p"})
    show(Grid(head, [_gate_row(each) for each in nights], numeric, frozenset({"gain (interval)"}), ("of", "p")))
    counts = counted_outcomes(nights)
    promoted = f"{counts['promoted']} promoted, {counts['would_promote']} would have"
    other = f"{counts['differ']} otherwise, {counts['unknown']} the rows cannot tell"
    tested = f"{text.counted(counts['nights'], 'night')}, {counts['tested']} with a test"
    say(f"\n{tested}: {promoted}; {other}; {counts['pairs']} pairs for {counts['pairs_run']}")
    for parted in dict.fromkeys(each.parted for each in nights if each.parted):
        say(f"Caution: {parted}. Later lines say what the pairs that were run come to, not what would have been.")


def _gate_row(each: "RescoredNight") -> tuple[str, ...]:
    low, high = (None, None) if each.interval is None else each.interval
    between = "" if low is None else f" ({text.number(low, 3)} to {text.number(high, 3)})"
    return (
        each.night,
        _SAID.get(each.was, each.was),
        _SAID.get(each.would, each.would),
        str(each.pairs) if each.pairs else "-",
        str(each.run) if each.run else "-",
        "-" if each.gain is None else f"{text.number(each.gain, 3)}{between}",
        "-" if each.p is None else f"{each.p:.3g}",
        "; ".join(filter(None, (each.caution, each.reason))),
    )


def _show_sampler(searches: Sequence[Mapping[str, Any]], seeds: int) -> None:
    own = ", ".join(dict.fromkeys(each["own"] for each in searches))
    head = ("night", "after", "was", "own sampler", "other", "given", "apart", "spacing")
    rows = [row for each in searches for row in _sampler_rows(each)]
    show(Grid(head, rows, frozenset(head[1:]), spare=("given", "spacing")))
    say(f"\nThe best score so far ({searches[-1]['goal']}) after so many trials. was: as it ran, once.")
    say(f"own sampler ({own}) and other: means over {text.counted(seeds, 'seed')}, both answered by the nearest trial,")
    say("so these two compare with each other alone, and neither can find more than the night's trials hold.")
    say("An estimate: apart is how far the nearest trials were in the median, as a share of each parameter's range;")
    say("spacing is how far the night's own trials lie from each other. Where they are far apart, it says little.")


def _sampler_rows(each: Mapping[str, Any]) -> list[tuple[str, ...]]:
    night = str(each["study"]).rpartition("/")[2]
    return [
        (
            night if k == 0 else "",
            str(after),
            *(text.number(each[key][k], 5) for key in ("was", "by_own", "by_other")),
            *((str(each["given"]), f"{each['apart']:.2f}", f"{each['spacing']:.2f}") if k == 0 else ("", "", "")),
        )
        for k, after in enumerate(each["at"])
    ]
