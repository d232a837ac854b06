"""Commands on studies: run, submit, watch, status, and each verb of a study's lifecycle."""

import signal
import sys
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from celeriac.cli import text
from celeriac.cli.exit_codes import LEFT, OK
from celeriac.cli.hints import command, remember
from celeriac.cli.json_output import form_of_all, goes_on_form, print_json, progress_form, study_form, tell_change
from celeriac.cli.screen import Grid, console, is_terminal, remark, say, show
from celeriac.cli.service import AsJson, Home, Name, Slots, SpecFile, StudyName, is_remote, reached

if TYPE_CHECKING:
    from celeriac.client import Client
    from celeriac.client.service import Service
    from celeriac.client.study import Study
    from celeriac.domain.records import StudyRecord
    from celeriac.runtime.settings import Settings

Detach = Annotated[bool, typer.Option("--detach", help="Do not watch: return once the study is open.")]
OneStudy = Annotated[str | None, typer.Argument(metavar="[STUDY]", help="One study; else all.", show_default=False)]
Limit = Annotated[int, typer.Option("--limit", min=0, help="How many at most, the newest of them; 0: all.")]
Reason = Annotated[str, typer.Option("--reason", help="Why: it is kept with the study.", show_default=False)]
HandBack = Annotated[
    bool, typer.Option("--hand-back", help="Running trials that have a checkpoint stop too, and go on from it later.")
]
Trials = Annotated[
    str | None, typer.Option("--trials", help="Finished trials in all, or `+20` more.", show_default=False)
]
Wall = Annotated[
    str | None, typer.Option("--wall", help="Its time, such as `2h`, as in a study file.", show_default=False)
]
DeviceHours = Annotated[
    str | None, typer.Option("--device-hours", help="Its device time in hours, or `+2` more.", show_default=False)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Open nothing: say its cost and its first points.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
_ALL = 1_000_000


def run(file: SpecFile, name: Name = None, home: Home = None, slots: Slots = 0, detach: Detach = False) -> None:
    """Run a study and show it live; starts the service on this machine if none answers.

    The same file again goes on where it was, also after a pause. Ctrl-C leaves the study running, twice stops it.
    """
    from celeriac.client import Client
    from celeriac.client.embedded import attached, ends_by_itself
    from celeriac.domain.records import CLOSED, StudyState

    remember(home)
    settings = _checked(file, name, home)
    with ExitStack() as held:
        if is_remote(home):
            client = held.enter_context(reached(home))
        else:
            held.enter_context(attached(settings))
            client = held.enter_context(Client(_service(settings, slots)))
        study = _open(client, file, name)
        if study.state is StudyState.PAUSED:
            study.resume("resumed by `celeriac run`")
            remark(f"{study.name} was paused; it goes on")
        code = OK if detach else _look_on(client, study)
        if not detach and study.state in CLOSED and ends_by_itself(client.settings):
            back = command("up")
            remark(f"The service ends by itself in a moment; its results stay readable, and `{back}` brings it back.")
    raise typer.Exit(code)


def _service(settings: "Settings", slots: int) -> "Settings":
    """A service that answers; one that is started says, on Ctrl-C, what becomes of it."""
    from celeriac.client.embedded import ensure_service

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return ensure_service(settings, slots=slots, say=remark)
    except KeyboardInterrupt:
        raise typer.Exit(LEFT) from None
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def submit(
    file: SpecFile, name: Name = None, dry_run: DryRun = False, home: Home = None, as_json: AsJson = False
) -> None:
    """Open a study on the service that runs, and return at once; or say what it would cost and try first."""
    _checked(file, name, home)
    if dry_run:
        _tell_preview(file, name, home, as_json)
        return
    with reached(home, serving=True) as client:
        study = _open(client, file, name)
        remark(f"Watch it:  {command('watch', study.name)}")
        if as_json:
            print_json(study_form(study.record))
        else:
            print(study.name)


def _tell_preview(file: Path, name: str | None, home: Path | None, as_json: bool) -> None:
    from celeriac.client.preview import preview

    with reached(home) as client:
        found = preview(cast("Client", client), file, name=name)
    if as_json:
        print_json(found)
        return
    cost = found["cost"]
    say(f"{found['study']}: {found['trials']} trials, sampler {found['sampler']}; the name is {found['name_is']}")
    for number, params in enumerate(found["first_points"]):
        say(f"  trial {number}: {text.assigned(params, 6)}")
    if "unknown" in cost:
        say(f"cost: {cost['unknown']}")
        return
    hours, wall = f"{cost['device_hours']:.3g} device-hours", text.span(cost["wall_s"])
    say(f"cost: about {hours}, {wall} with {text.counted(cost['at_once'], 'trial')} at once", "bold")
    say(f"  (a trial took {text.span(cost['trial_s'])} in {text.counted(cost['from_studies'], 'earlier study')})")


def watch(study: StudyName, home: Home = None) -> None:
    """Show a study live until it ends, then its winner."""
    from celeriac.client.client import no_service
    from celeriac.client.embedded import attached
    from celeriac.client.progress import is_settled
    from celeriac.runtime.settings import Settings

    held = nullcontext() if is_remote(home) else attached(Settings.from_env(home=home))
    with held, reached(home) as client:
        handle = client.study(study)
        if not client.serves and not is_settled(handle.record):
            raise no_service(client.settings)
        code = _look_on(client, handle)
    raise typer.Exit(code)


def _checked(file: Path, name: str | None, home: Path | None) -> "Settings":
    """The settings, once the file and its objective are sound: what is wrong there is told without a service."""
    from celeriac.client.client import read_study
    from celeriac.client.objective import code_root_of
    from celeriac.runtime.settings import Settings

    settings = Settings.from_env(home=home)
    read, base = read_study(file, name)
    if not is_remote(home):  # else the code is the service's, and only there it can be looked for
        code_root_of(read, base, settings.code_root)
    return settings


def _open(client: "Service", file: Path, name: str | None) -> "Study":
    submission = client.open(file, name=name)
    study = submission.study
    done = "Attached to" if submission.attached else "Opened"
    remark(f"{done} study {study.name} ({study.state})")
    for note in submission.notes:
        remark(f"Note: {note}")
    return study


def _look_on(client: "Service", study: "Study") -> int:
    from celeriac.cli.live import Left
    from celeriac.cli.live import watch as look_on
    from celeriac.cli.summary import tell

    try:
        return tell(client, look_on(client, study))
    except Left:
        return LEFT


def status(study: OneStudy = None, home: Home = None, as_json: AsJson = False, limit: Limit = 20) -> None:
    """Show the studies and the slots that are alive, or one study with what runs and what it waits for."""
    with reached(home) as client:
        if study is not None:
            _status_of(client, client.study(study), as_json)
        else:
            _status_of_all(client, as_json, limit)


def _status_of_all(client: "Service", as_json: bool, limit: int) -> None:
    from celeriac.report.busy import together

    records, fleet, schedules = client.records(limit or _ALL), client.fleet(), client.schedules()
    devices, slots_busy = [each for each in fleet.devices if each.is_alive(fleet.now)], fleet.busy
    busy = together(slots_busy.values()) if slots_busy else None
    if as_json:
        print_json(form_of_all(records, devices, schedules, busy))
        return
    head = ("study", "state", "finished", "best", "trial", "created", "reason")
    rows = [_row(each) for each in records]
    grid = Grid(head, rows, frozenset({"finished", "best", "trial"}), spare=("created", "trial"))
    show(grid, "No study yet: `celeriac run FILE` starts one.")
    gpus = sum(len(each.slots) for each in devices if each.is_gpu)
    hosts = len({each.host for each in devices})
    slots = sum(len(each.slots) for each in devices)
    alive = f"{text.counted(slots, 'slot')} alive on {text.counted(hosts, 'host')}, {gpus} of them on GPUs"
    say(alive if slots else "no worker is alive: `celeriac up` starts some here, `python -m worker` joins a service")
    if slots and busy is not None:
        say(f"the slots in the last hour: {busy}")
    for each in schedules:
        say(f"schedule {each.name}: {text.due(each)}, {text.counted(len(each.slices), 'slice')}")


def _row(study: "StudyRecord") -> tuple[str, ...]:
    return (
        study.name,
        str(study.state),
        text.finished(study),
        text.number(study.best_score),
        "-" if study.best_number is None else str(study.best_number),
        text.moment(study.created_at),
        text.one_line(study.reason),
    )


def _status_of(client: "Service", study: "Study", as_json: bool) -> None:
    from celeriac.cli.hosts import told_of_code, told_of_slots
    from celeriac.cli.json_output import limits_form
    from celeriac.cli.live import best_of, picture, running_grid, sampler_line
    from celeriac.cli.rungs import saved_in_words
    from celeriac.cli.waiting import told_of_limits
    from celeriac.client.progress import line_of, why_waiting

    progress = client.progress(study)
    _, limits, _ = study.waiting()
    if as_json:
        form = progress_form(progress, why_waiting(progress), study.savings())
        print_json({**form, **limits_form(limits), "codes": study.codes()})
        return
    if is_terminal():
        console().print(picture(progress, best_of(client, progress.study)))
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
    for line in told_of_limits(limits):
        print(line)
    if progress.study.ended_at is not None:
        say(f"reason: {progress.study.reason}")
    if progress.study.counts.pruned:
        print(saved_in_words(progress.study, study.savings()))
    for line in told_of_code(client, progress.study) + told_of_slots(client, progress):
        print(line)


def pause(
    study: StudyName,
    reason: Reason = "paused by a user",
    hand_back: HandBack = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Start no more trials of a study; those that run go on to their end, or hand themselves back."""
    with reached(home) as client:
        record = client.study(study).pause(reason, hand_back=hand_back)
        until = "their next checkpointed report, or without a checkpoint to their end" if hand_back else "the end"
        running = text.counted(record.counts.running, "running trial")
        tell_change(as_json, study_form(record), f"{study} is {record.state}; {running} will go on to {until}")
        remark(f"Go on with:  {command('resume', study)}")


def resume(study: StudyName, reason: Reason = "resumed by a user", home: Home = None, as_json: AsJson = False) -> None:
    """Go on with a paused study."""
    with reached(home) as client:
        handle = client.study(study)
        record = handle.resume(reason)
        tell_change(as_json, goes_on_form(record, took_code=handle.took_code), f"{study} is {record.state}")
        _tell_of_code(handle)


def stop(study: StudyName, reason: Reason = "stopped by a user", home: Home = None, as_json: AsJson = False) -> None:
    """End a study now: what runs is killed, what waits is cancelled; scores and its best trial stay."""
    with reached(home) as client:
        record = client.study(study).stop(reason)
        finished = text.counted(record.counts.finished, "trial")
        line = f"{study} is {record.state}: {finished} finished, {record.counts.cancelled} cancelled"
        tell_change(as_json, study_form(record), line)


def extend(
    study: StudyName,
    trials: Trials = None,
    wall: Wall = None,
    device_hours: DeviceHours = None,
    reason: Reason = "extended by a user",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Give a study a larger budget; one that has ended goes on."""
    with reached(home) as client:
        handle = client.study(study)
        had = handle.record.budget
        record = handle.extend(trials, wall=wall, device_hours=device_hours, reason=reason)
        budget = record.spec["budget"]
        more = f"{budget['trials']} trials instead of {had}" if budget["trials"] != had else f"{had} trials"
        limit = f", wall {text.span(budget['wall'])}" if "wall" in budget else ""
        limit += f", {budget['device_hours']:g} device-hours" if "device_hours" in budget else ""
        line = f"{study} is {record.state}: it has a budget of {more}{limit}; {record.counts.finished} are finished"
        tell_change(as_json, goes_on_form(record, took_code=handle.took_code), line)
        tell_next(client, handle)


def reopen(study: StudyName, reason: Reason = "reopened by a user", home: Home = None, as_json: AsJson = False) -> None:
    """Go on with a study that was stopped, failed, or ended before its budget was used."""
    with reached(home) as client:
        handle = client.study(study)
        record = handle.reopen(reason)
        line = f"{study} is {record.state}: {record.counts.finished} of {record.budget} finished"
        tell_change(as_json, goes_on_form(record, took_code=handle.took_code), line)
        tell_next(client, handle)


def delete(study: StudyName, yes: Yes = False, home: Home = None, as_json: AsJson = False) -> None:
    """Delete a study that has ended: its rows, and its checkpoints and logs on the service's host. It cannot be
    undone.
    """
    with reached(home) as client:
        handle = client.study(study)
        state, doomed = handle.state, handle.doomed()
        trials, files = text.counted(doomed.trials, "trial"), text.counted(doomed.files, "file")
        where = f"on {client.settings.url}" if client.settings.url else "on this host"
        size = f"{doomed.size_bytes / 1e6:.1f} MB"
        warning = (
            f"{study} ({state}): {trials} with their reports, and {files} of checkpoints and logs {where} ({size})"
        )
        (remark if as_json else say)(warning)
        if not yes:
            if not sys.stdin.isatty():
                raise typer.BadParameter("there is nobody to ask: give --yes to delete it")
            typer.confirm("Delete it for good?", abort=True, err=True)
        deleted = handle.delete()
        form = {"study": study, "trials": doomed.trials, "files": deleted.files, "refused": deleted.refused}
        tell_change(as_json, form, f"{study} is deleted, and {text.counted(deleted.files, 'file')} of it")
        for line in deleted.refused:
            remark(line)


def _tell_of_code(study: "Study") -> None:
    """Trials of two codes in one study are never passed over in silence."""
    if study.took_code:
        remark("Its code is another than before: trials from now on run that, and are ranked with those before")


def tell_next(client: "Service", study: "Study") -> None:
    """The next step, after a study was let go on."""
    _tell_of_code(study)
    record = study.record
    if record.state == "PAUSED":
        remark(f"It is paused ({record.reason}); go on with:  {command('resume', study.name)}")
    elif not client.serves:
        remark(f"No service runs here: `{command('up')}`, or `celeriac run` with its file, goes on with it")
    else:
        remark(f"Watch it:  {command('watch', study.name)}")
