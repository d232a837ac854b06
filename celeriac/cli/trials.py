"""Commands on trials: list and explain them, the best, their output, cancel, retry."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from celeriac.cli import text
from celeriac.cli.exit_codes import FAILED
from celeriac.cli.json_output import print_json, tell_change, trial_form
from celeriac.cli.screen import Grid, remark, say, show
from celeriac.cli.service import AsJson, Home, StudyName, TrialNumber, reached
from celeriac.cli.studies import Limit, Reason, tell_next

if TYPE_CHECKING:
    from celeriac.domain.records import GangPlace, TrialRecord, TrialState

States = Annotated[
    list[str] | None, typer.Option("--state", help="Only trials in this state, such as FAILED; may be given again.")
]
Why = Annotated[
    int | None,
    typer.Option("--why", min=0, metavar="N", help="Explain this one trial: how it was found, and what was expected."),
]
Replay = Annotated[
    bool, typer.Option("--replay", help="With `--why`: ask the sampler again, from the rows, and compare.")
]
StudyOrSchedule = Annotated[
    str, typer.Argument(metavar="STUDY", help="The study's name, or a schedule's.", show_default=False)
]
Slice = Annotated[
    str | None,
    typer.Option("--slice", help="Of a schedule: this slice alone, such as `region=eu`.", show_default=False),
]
ModelPath = Annotated[
    Path | None, typer.Option("--model", help="Copy its trained model to this file.", show_default=False)
]
AsYaml = Annotated[bool, typer.Option("--yaml", help="Only the parameters, as YAML.")]
AttemptNumber = Annotated[int | None, typer.Option("--attempt", min=1, help="Which attempt (default: the newest).")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what it prints, until the trial ends.")]
Numbers = Annotated[
    list[int] | None,
    typer.Argument(metavar="[N]...", min=0, help="The failed trials' numbers (default: all).", show_default=False),
]


def trials(
    study: StudyName,
    state: States = None,
    limit: Limit = 50,
    why: Why = None,
    replay: Replay = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List a study's trials by number: the newest 50, or as `--state` and `--limit` say; or explain one of them."""
    if replay and why is None:
        raise typer.BadParameter("--replay needs `--why N`: which trial?")
    from celeriac.report.advice import advice, advice_by_class

    with reached(home) as client:
        found = client.study(study)
        if why is not None:
            from celeriac.cli.why import tell_why

            raise typer.Exit(tell_why(client, found, why, as_json=as_json, replay=replay))
        states = _states(state)
        listed = found.newest_trials(limit, states) if limit else list(found.each_trial(states))
        members: dict[int, list[GangPlace]] = {each.number: [] for each in listed}
        for place in found.gang_places(listed):
            members[place.trial].append(place)
        if as_json:
            runs = found.attempts_of([each.number for each in listed])
            print_json(
                [
                    {**trial_form(each, runs[each.number], members[each.number]), "advice": advice(each, study)}
                    for each in listed
                ]
            )
            return
        head = ("trial", "state", "score", "attempts", "took", "source", "worker", "parameters", "note")
        numeric = frozenset({"trial", "score", "attempts", "took"})
        spare = ("worker", "source", "attempts", "took")
        show(
            Grid(head, [_row(each, members[each.number]) for each in listed], numeric, frozenset({"parameters"}), spare)
        )
        for number, gang in members.items():
            if gang:
                remark(f"trial {number}: {text.counted(len(gang), 'member')}: {', '.join(map(str, gang))}")
        for line in advice_by_class(listed, found.name):
            remark(line)
        total = found.record.next_number
        if not states and len(listed) < total:
            remark(f"The newest {len(listed)} of {total}; `--limit 0` lists all.")


def _states(words: list[str] | None) -> "list[TrialState] | None":
    """The states that were asked for; None for all. Raises typer.BadParameter, naming the known ones."""
    from celeriac.domain.records import TrialState

    try:
        return [TrialState(word.upper()) for word in words] if words else None
    except ValueError:
        known = ", ".join(TrialState)
        raise typer.BadParameter(f"{', '.join(words or [])}: no state of a trial; known: {known}") from None


def _row(trial: "TrialRecord", members: "list[GangPlace]") -> tuple[str, ...]:
    return (
        str(trial.number),
        str(trial.state),
        text.number(trial.score),
        str(trial.attempts),
        text.between(trial.started_at, trial.ended_at),
        _source(trial),
        text.with_members(trial.worker, members) or "-",
        text.assigned(trial.params, 3),
        text.one_line(_note(trial)),
    )


def _note(trial: "TrialRecord") -> str:
    """Its fault and the words for it; of one that goes on, the fault of an attempt before has none any more."""
    if trial.fault is None:
        return trial.detail
    return f"{trial.fault}: {trial.detail}" if trial.detail else f"an attempt before: {trial.fault}"


def _source(trial: "TrialRecord") -> str:
    """Where its parameters came from; of an heir, from whom and from which step."""
    parent, step = trial.why.get("parent"), trial.why.get("parent_step")
    if parent is None:
        return str(trial.source)
    return f"heir of {parent}" + ("" if step is None else f" at {step}")


def best(
    study: StudyOrSchedule,
    slice_: Slice = None,
    model: ModelPath = None,
    home: Home = None,
    as_json: AsJson = False,
    as_yaml: AsYaml = False,
) -> None:
    """Show a study's best trial, what it gained over trial 0, and its parameters; or a schedule's champions."""
    from celeriac.cli.champion import tell_champions
    from celeriac.cli.summary import first_of, tell_winner
    from celeriac.client.progress import gain
    from celeriac.client.service import is_schedule
    from celeriac.client.study import yaml_of

    with reached(home) as client:
        if model is not None:
            size_bytes, sha256 = client.best_model(study, slice_, model)
            say(f"{model}: {size_bytes:,} bytes, sha256 {sha256}")
            return
        if slice_ is not None or is_schedule(client.store, study):
            raise typer.Exit(tell_champions(client, study, slice_, as_json=as_json, as_yaml=as_yaml))
        found = client.study(study)
        winner, record = found.best, found.record
        if winner is None:
            more = f"`celeriac status {study}` says more"
            remark(f"celeriac: study {study} is {record.state} and has no scored trial; {more}")
            raise typer.Exit(FAILED)
        if as_yaml:
            print(yaml_of(winner.params), end="")
            if len(found.lineage()) > 1:
                remark(f"These made the end of its training alone; `celeriac best {study}` shows its course.")
        elif as_json:
            first = first_of(client, record)
            told = {"gain": gain(record, winner, first), "default": first, "lineage": found.lineage()}
            print_json({"study": study, **trial_form(winner), **told})
        else:
            tell_winner(client, record, winner)


def logs(
    study: StudyName,
    number: TrialNumber,
    attempt: AttemptNumber = None,
    follow: Follow = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show what a trial printed last, from whichever host it ran on."""
    from celeriac.cli.log_follow import follow_log, log_form, print_log

    if follow and as_json:
        raise typer.BadParameter("--follow prints as the trial does: leave out --json")

    with reached(home) as client:
        found = client.study(study)
        if as_json:
            print_json(log_form(found, number, attempt))
            return
        code = follow_log(found, number, attempt) if follow else print_log(found, number, attempt)
    raise typer.Exit(code)


def cancel(
    study: StudyName,
    number: TrialNumber,
    reason: Reason = "cancelled by a user",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """End one trial CANCELLED: it is not retried and uses no budget, so another takes its place."""
    with reached(home) as client:
        trial = client.study(study).cancel(number, reason)
        tell_change(as_json, trial_form(trial), f"trial {number} of {study} is {trial.state}")


def retry(
    study: StudyName,
    numbers: Numbers = None,
    reason: Reason = "failed trials are run once more",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Run failed trials once more: same number and parameters, a new attempt; a study that has ended goes on."""
    with reached(home) as client:
        handle = client.study(study)
        again = handle.retry(numbers or None, reason)
        form = {"study": study, "trials": [trial_form(each) for each in again], "took_code": handle.took_code}
        if not again:
            tell_change(as_json, form, f"{study} has no failed trial")
            return
        listed, failed = ", ".join(str(each.number) for each in again), text.counted(len(again), "failed trial")
        tell_change(as_json, form, f"{study} is {handle.state}: {failed} will run once more ({listed})")
        tell_next(client, handle)
