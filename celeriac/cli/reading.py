"""Commands that read: status, trials, best, logs, champions, workers. Each takes `--json`, `logs` aside."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from celeriac.cli.exit_codes import FAILED
from celeriac.cli.service import AsJson, Home, StudyName, TrialNumber, connected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celeriac.client import Client, Study
    from celeriac.domain.records import Champion, Device, PutAside, StudyRecord, TrialRecord, TrialState

OneStudy = Annotated[str | None, typer.Argument(metavar="[STUDY]", help="One study; else all.", show_default=False)]
OneSchedule = Annotated[
    str | None, typer.Argument(metavar="[SCHEDULE]", help="One schedule; else all.", show_default=False)
]
States = Annotated[
    list[str] | None, typer.Option("--state", help="Only trials in this state, such as FAILED; may be given again.")
]
Limit = Annotated[int, typer.Option("--limit", min=0, help="How many at most, the newest of them; 0: all.")]
StudyOrSchedule = Annotated[
    str, typer.Argument(metavar="STUDY", help="The study's name, or a schedule's.", show_default=False)
]
Slice = Annotated[
    str | None,
    typer.Option("--slice", help="Of a schedule: this slice alone, such as `region=eu`.", show_default=False),
]
AsYaml = Annotated[bool, typer.Option("--yaml", help="Only the parameters, as YAML.")]
History = Annotated[bool, typer.Option("--history", help="All verdicts, also of studies that were not promoted.")]
Why = Annotated[
    int | None,
    typer.Option("--why", min=0, metavar="N", help="Explain this one trial: how it was found, and what was expected."),
]
Replay = Annotated[
    bool, typer.Option("--replay", help="With `--why`: ask the sampler again, from the rows, and compare.")
]
AttemptNumber = Annotated[int | None, typer.Option("--attempt", min=1, help="Which attempt (default: the newest).")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what it prints, until the trial ends.")]


def status(study: OneStudy = None, home: Home = None, as_json: AsJson = False, limit: Limit = 20) -> None:
    """Show the studies and the slots that are alive, or one study with what runs and what it waits for."""
    with connected(home) as client:
        if study is not None:
            _status_of(client, client.study(study), as_json)
        else:
            _status_of_all(client, as_json, limit)


def _status_of_all(client: "Client", as_json: bool, limit: int) -> None:
    from celeriac.cli import json_output, text
    from celeriac.cli.screen import Grid, say, show

    records = client.store.studies(limit=limit or 1_000_000)
    devices, schedules = client.devices(), client.schedules()
    if as_json:
        studies = [json_output.study_form(each) for each in records]
        print(
            json_output.dump(
                {"studies": studies, "devices": json_output.plain(devices), "schedules": json_output.plain(schedules)}
            )
        )
        return
    if records:
        head = ("study", "state", "finished", "best", "trial", "created", "reason")
        rows = [_study_row(each) for each in records]
        numeric = frozenset({"finished", "best", "trial"})
        show(Grid(head, rows, numeric, folds=frozenset({"study"}), spare=("created", "trial")))
    else:
        say("No study yet: `celeriac run FILE` starts one.")
    gpus = sum(len(each.slots) for each in devices if each.is_gpu)
    hosts = len({each.host for each in devices})
    slots = sum(len(each.slots) for each in devices)
    alive = f"{text.counted(slots, 'slot')} alive on {text.counted(hosts, 'host')}, {gpus} of them on GPUs"
    say(alive if slots else "no worker is alive: `celeriac up` starts some here, `python -m worker` joins a service")
    for each in schedules:
        due = "paused" if each.paused else f"due {text.moment(each.next_due_at)}"
        say(f"schedule {each.name}: {due}, {text.counted(len(each.slices), 'slice')}")


def _study_row(study: "StudyRecord") -> tuple[str, ...]:
    from celeriac.cli import text

    return (
        study.name,
        str(study.state),
        f"{study.counts.finished}/{study.spec['budget']['trials']}",
        text.number(study.best_score),
        "-" if study.best_number is None else str(study.best_number),
        text.moment(study.created_at),
        text.one_line(study.reason),
    )


def _status_of(client: "Client", study: "Study", as_json: bool) -> None:
    from celeriac.cli import json_output, text
    from celeriac.cli.hosts import told_of_code, told_of_slots
    from celeriac.cli.live import Looks, best_of, line_of, picture, running_grid, sampler_line
    from celeriac.cli.rungs import saved_in_words
    from celeriac.cli.screen import console, is_terminal, show
    from celeriac.client.progress import why_waiting

    progress = Looks(client, study).progress()
    if as_json:
        form = json_output.progress_form(progress, client.store.savings(study.id))
        print(json_output.dump({**form, "codes": json_output.plain(client.store.codes(study.id))}))
        return
    if is_terminal():
        console().print(picture(progress, best_of(client, progress.study), hint=False))
    else:
        line, waiting = line_of(progress), why_waiting(progress)
        print(line)
        if progress.running:
            show(running_grid(progress))
        elif waiting and waiting not in line:
            print(f"waiting: {waiting}")
    print(sampler_line(progress))
    if progress.wall_s is not None:
        used = text.span(progress.study.worked_s(progress.now))
        print(f"wall: {used} of {text.span(progress.wall_s)} used, since the first trial's start and without pauses")
    if progress.study.ended_at is not None:
        print(f"reason: {progress.study.reason}")
    if progress.study.counts.pruned:
        print(saved_in_words(progress.study, client.store.savings(study.id)))
    for line in told_of_code(client, progress.study) + told_of_slots(client, progress):
        print(line)


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
    from celeriac.cli import json_output
    from celeriac.cli.screen import Grid, remark, show

    if replay and why is None:
        raise typer.BadParameter("--replay needs `--why N`: which trial?")
    with connected(home) as client:
        found = client.study(study)
        if why is not None:
            from celeriac.cli.why import tell_why

            raise typer.Exit(tell_why(client, found, why, as_json=as_json, replay=replay))
        states = _states(state)
        listed = found.newest_trials(limit, states) if limit else list(found.each_trial(states))
        if as_json:
            runs = client.store.attempts_of(found.id, [each.number for each in listed])
            print(json_output.dump([json_output.trial_form(each, runs[each.number]) for each in listed]))
            return
        head = ("trial", "state", "score", "attempts", "took", "source", "worker", "parameters", "note")
        show(
            Grid(
                head,
                [_trial_row(each) for each in listed],
                frozenset({"trial", "score", "attempts", "took"}),
                folds=frozenset({"parameters"}),
                spare=("worker", "source", "attempts", "took"),
            )
        )
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


def _trial_row(trial: "TrialRecord") -> tuple[str, ...]:
    from celeriac.cli import text

    note = f"{trial.fault}: {trial.detail}" if trial.fault else trial.detail
    return (
        str(trial.number),
        str(trial.state),
        text.number(trial.score),
        str(trial.attempts),
        text.between(trial.started_at, trial.ended_at),
        str(trial.source),
        trial.worker or "-",
        text.assigned(trial.params, 3),
        text.one_line(note),
    )


def best(
    study: StudyOrSchedule, slice_: Slice = None, home: Home = None, as_json: AsJson = False, as_yaml: AsYaml = False
) -> None:
    """Show a study's best trial, what it gained over trial 0, and its parameters to paste; or a schedule's champions
    and theirs.
    """
    from celeriac.cli import json_output
    from celeriac.cli.champion import tell_champions
    from celeriac.cli.screen import remark
    from celeriac.cli.summary import first_of, tell_winner
    from celeriac.client.progress import gain
    from celeriac.client.study import yaml_of

    with connected(home) as client:
        if slice_ is not None or _is_schedule(client, study):
            raise typer.Exit(tell_champions(client, study, slice_, as_json=as_json, as_yaml=as_yaml))
        found = client.study(study)
        winner, record = found.best, found.record
        if winner is None:
            remark(
                f"celeriac: study {study} is {record.state} and has no scored trial; `celeriac status {study}` says"
                " more"
            )
            raise typer.Exit(FAILED)
        if as_yaml:
            print(yaml_of(winner.params), end="")
        elif as_json:
            first = first_of(client, record)
            form = {"study": study, **json_output.trial_form(winner), "gain": gain(record, winner, first)}
            form["default"] = None if first is None else json_output.trial_form(first)
            print(json_output.dump(form))
        else:
            tell_winner(client, record, winner)


def _is_schedule(client: "Client", name: str) -> bool:
    """Whether this names a schedule and no study."""
    from celeriac.domain.errors import UnknownStudy

    try:
        client.study(name)
    except UnknownStudy:
        return any(each.name == name for each in client.schedules())
    return False


def logs(
    study: StudyName, number: TrialNumber, attempt: AttemptNumber = None, follow: Follow = False, home: Home = None
) -> None:
    """Show what a trial printed last, from whichever host it ran on."""
    from celeriac.cli.log_follow import follow_log, print_log

    with connected(home) as client:
        found = client.study(study)
        code = follow_log(client, found, number, attempt) if follow else print_log(client, found, number, attempt)
    raise typer.Exit(code)


def champions(
    schedule: OneSchedule = None, history: History = False, home: Home = None, as_json: AsJson = False
) -> None:
    """Show the champion of each slice, or with `--history` every verdict on a night's best trial."""
    from celeriac.cli import json_output
    from celeriac.cli.screen import Grid, say, show

    with connected(home) as client:
        if schedule is not None:
            client.store.schedule(schedule)
        names = [schedule] if schedule is not None else [each.name for each in client.schedules()]
        if history:
            listed = [verdict for name in names for verdict in client.store.verdicts(name)]
        else:
            listed = client.champions(schedule)
        if as_json:
            print(json_output.dump(json_output.plain(listed)))
        elif listed:
            head = ("schedule", "slice", "promoted", "trial", "score", "trial 0", "study", "parameters", "why")
            rows = [_champion_row(each) for each in listed]
            show(
                Grid(
                    head,
                    rows,
                    frozenset({"trial", "score", "trial 0"}),
                    folds=frozenset({"slice", "study", "parameters"}),
                    spare=("study", "schedule", "trial 0"),
                )
            )
        else:
            say("No champion yet: a schedule's first firing that beats its own trial 0 makes one.")


def _champion_row(champion: "Champion") -> tuple[str, ...]:
    from celeriac.cli import text

    return (
        champion.schedule,
        text.assigned(champion.slice) or "-",
        "yes" if champion.promoted else "no",
        "-" if champion.trial is None else str(champion.trial),
        text.number(champion.score),
        text.number(champion.default_score),
        champion.study,
        text.assigned(champion.params, 3),
        champion.reason,
    )


def workers(home: Home = None, as_json: AsJson = False) -> None:
    """Show hosts, devices and slots, when they last spoke, and what each slot runs."""
    from celeriac.cli import json_output
    from celeriac.cli.screen import Grid, say, show

    with connected(home) as client:
        devices = client.store.devices()
        runs = {slot: client.store.open_attempts_of(slot) for each in devices for slot in each.slots}
        aside = client.store.put_asides()
        names = {each.study_id: client.store.study(each.study_id).name for each in aside if each.study_id}
        now = client.store.now()
    if as_json:
        listed = [json_output.device_form(each, runs, aside, alive=_is_alive(each, now)) for each in devices]
        print(json_output.dump(listed))
        return
    rows = []
    for each in devices:
        for slot in each.slots:
            running = ", ".join(f"{run.study} trial {run.number}" for run in runs[slot]) or "-"
            told = [each.health if each.health != "ok" else "", *_put_aside(slot, aside, names)]
            health = "; ".join(filter(None, told)) or each.health or "-"
            health = health if _is_alive(each, now) else "-"
            rows.append((slot, each.kind, _memory(each), health, _heard(each, now), running))
    if rows:
        show(Grid(("slot", "device", "memory", "health", "heard", "running"), rows, frozenset({"memory"})))
    else:
        say("No worker has ever spoken: `celeriac up` starts some here, `python -m worker` joins a service.")


def _put_aside(slot: str, rows: "Sequence[PutAside]", names: "Mapping[int, str]") -> list[str]:
    """What the slot does not take now, in words."""
    return [
        f"no trials of {names[each.study_id]}: {each.reason}" if each.study_id else each.reason
        for each in rows
        if each.worker == slot
    ]


def _is_alive(device: "Device", now: datetime) -> bool:
    from celeriac.client.client import ALIVE_S

    return device.is_alive(now, ALIVE_S)


def _heard(device: "Device", now: datetime) -> str:
    from celeriac.cli import text

    return f"{text.between(device.heartbeat_at, now)} ago" + ("" if _is_alive(device, now) else ": gone")


def _memory(device: "Device") -> str:
    return f"{device.memory_bytes / 2**30:.1f} GiB" if device.memory_bytes else "-"
