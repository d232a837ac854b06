"""Commands on champions: who they are, on what evidence, and what a person decides about them."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from celeriac.cli import text
from celeriac.cli.exit_codes import FAILED
from celeriac.cli.hints import command
from celeriac.cli.json_output import print_json, tell_change
from celeriac.cli.screen import Grid, remark, say, show
from celeriac.cli.service import AsJson, Home, StudyName, TrialNumber, reached

if TYPE_CHECKING:
    from celeriac.domain.records import Champion

OneSchedule = Annotated[
    str | None, typer.Argument(metavar="[SCHEDULE]", help="One schedule; else all.", show_default=False)
]
ScheduleName = Annotated[str, typer.Argument(metavar="SCHEDULE", help="The schedule's name.", show_default=False)]
SliceName = Annotated[
    str | None,
    typer.Argument(metavar="[SLICE]", help="The slice, such as airport=JFK; needed where there are several."),
]
History = Annotated[bool, typer.Option("--history", help="All verdicts, also those that promoted nothing.")]
Params = Annotated[bool, typer.Option("--params", help="Print its parameters alone, as YAML.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept with the verdict.")]
ToId = Annotated[int | None, typer.Option("--to", help="The id of an earlier champion (`--history --json` shows it).")]
OfSlice = Annotated[str | None, typer.Option("--slice", metavar="SLICE", help="Of this slice, not the study's own.")]


def champions(
    schedule: OneSchedule = None, history: History = False, home: Home = None, as_json: AsJson = False
) -> None:
    """Show the champion of each slice, or with `--history` every verdict: each night's, and each person's."""
    with reached(home) as client:
        names = [each.name for each in client.schedules()] if schedule is None else [client.schedule(schedule).name]
        if history:
            found = [verdict for name in names for verdict in client.verdicts(name)]
        else:
            found = client.champions(schedule)
    if as_json:
        print_json(found)
        return
    head: tuple[str, ...] = ("schedule", "slice", "promoted", "trial", "score", "trial 0", "study", "parameters", "why")
    numeric, folds = frozenset({"trial", "score", "trial 0"}), frozenset({"slice", "parameters"})
    rows = [_row(each) for each in found]
    if history:
        head = (*head[:2], "when", *head[2:])
        rows = [(*row[:2], text.moment(each.decided_at), *row[2:]) for row, each in zip(rows, found, strict=True)]
    grid = Grid(head, rows, numeric, folds, spare=("study", "schedule", "trial 0"))
    show(grid, "No champion yet: a schedule's first night that surely beats its own trial 0 makes one.")


def champion(
    schedule: ScheduleName, slice_: SliceName = None, params: Params = False, home: Home = None, as_json: AsJson = False
) -> None:
    """Show one slice's champion, and what it was promoted on: every pair, the test, the reason."""
    from celeriac.cli.deliveries import delivery_lines
    from celeriac.client.study import yaml_of
    from celeriac.domain.study_file import full_slice_name

    with reached(home) as client:
        seen = client.standing(schedule, slice_)
    where, found, waits, sent = seen.slice, seen.champion, seen.awaiting, seen.deliveries
    if found is None:
        remark(f"celeriac: {full_slice_name(schedule, where)} has no champion yet")
        raise typer.Exit(FAILED)
    if as_json:
        print_json(found)
    elif params:
        print(yaml_of(found.params), end="")
    else:
        for line in (*record_of(found), "", *delivery_lines(sent)):
            say(line)
        if waits is not None:
            say(f"\ntrial {waits.trial} of {waits.study} waits for approval: {waits.reason}")


def approve(
    schedule: ScheduleName,
    slice_: SliceName = None,
    reason: Reason = "approved",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make champion what a night found and a person has to approve."""
    with reached(home) as client:
        _tell(client.approve(schedule, slice_, reason), as_json)


def reject(
    schedule: ScheduleName,
    slice_: SliceName = None,
    reason: Reason = "rejected",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Say no to what waits for approval; the champion stays."""
    with reached(home) as client:
        said = client.reject(schedule, slice_, reason)
        tell_change(as_json, said, f"trial {said.trial} of {said.study} is not promoted: {said.reason}")


def promote(
    study: StudyName,
    number: TrialNumber,
    slice_: OfSlice = None,
    reason: Reason = "promoted by hand",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make a scored trial the champion of its slice by hand, without a test."""
    with reached(home) as client:
        _tell(client.promote(study, number, slice_, reason), as_json)


def rollback(
    schedule: ScheduleName,
    slice_: SliceName = None,
    to: ToId = None,
    reason: Reason = "rolled back",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Put the champion before this one in its place again."""
    with reached(home) as client:
        _tell(client.roll_back(schedule, slice_, reason, to), as_json)


def _tell(made: "Champion", as_json: bool) -> None:
    from celeriac.domain.study_file import full_slice_name, slice_name

    where = full_slice_name(made.schedule, made.slice)
    line = f"{where}: trial {made.trial} of {made.study} is champion ({made.kind}, {made.who}): {made.reason}"
    tell_change(as_json, made, line)
    remark(f"Its parameters:  {command('champion', made.schedule, slice_name(made.slice), '--params')}")


def record_of(champion: "Champion") -> list[str]:
    """A verdict in lines: who, when, why, and the pairs that it stands on."""
    from celeriac.domain.study_file import full_slice_name

    who = f"{champion.kind}{f', {champion.who}' if champion.who else ''}"
    where = full_slice_name(champion.schedule, champion.slice)
    lines = [
        f"{where}: trial {champion.trial} of {champion.study}",
        f"champion {champion.id} since {text.moment(champion.decided_at)} ({who})",
        text.assigned(champion.params),
        f"why: {champion.reason}",
    ]
    gate = champion.evidence.get("gate")
    if gate:
        lines += _test_of(champion.evidence, gate)
    return lines


def _test_of(evidence: Any, gate: Any) -> list[str]:
    said = gate["said"]
    rows = [f"\nconfirmed in {evidence['study']}, mean of the hold-out blocks (the score, where there are none):"]
    for pair in gate["asked"]["pairs"]:
        old, new = (_value(pair[who]) for who in ("champion", "challenger"))
        rows.append(f"  seed {pair['seed']:>10}  before {text.number(old):>10}  after {text.number(new):>10}")
    interval = said["interval"]
    between = "" if interval is None else f" ({text.number(interval[0])} to {text.number(interval[1])})"
    covers = "seeds and hold-out" if said["covers_holdout"] else "seeds, not the hold-out's own noise"
    allowed = f"p {said['p']:.3g} of {said['level']:.3g} allowed"
    return [*rows, f"  gain {text.number(said['gain'])}{between}, {allowed}; covers {covers}"]


def _value(run: Any) -> float:
    blocks: list[float] = run["holdout"] or [run["score"]]
    return sum(blocks) / len(blocks)


def _row(champion: "Champion") -> tuple[str, ...]:
    word = "yes" if champion.promoted else "waits" if champion.awaits else "no"
    by = "" if champion.kind == "night" else f"{champion.kind}, {champion.who}: "
    return (
        champion.schedule,
        text.assigned(champion.slice) or "-",
        word,
        "-" if champion.trial is None else str(champion.trial),
        text.number(champion.score),
        text.number(champion.default_score),
        champion.study,
        text.assigned(champion.params, 3),
        f"{by}{champion.reason}",
    )
