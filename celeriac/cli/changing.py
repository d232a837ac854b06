"""Commands that change a study or a trial: pause, resume, stop, cancel, extend, reopen, retry, delete. One verb of the
lifecycle each.
"""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from celeriac.cli.hints import command
from celeriac.cli.screen import remark, say
from celeriac.cli.service import Home, StudyName, TrialNumber, connected
from celeriac.cli.text import counted, span

if TYPE_CHECKING:
    from celeriac.client import Client, Study

Reason = Annotated[str, typer.Option("--reason", help="Why: it is kept with the study.", show_default=False)]


def pause(study: StudyName, reason: Reason = "paused by a user", home: Home = None) -> None:
    """Start no more trials of a study; those that run go on to their end."""
    with connected(home) as client:
        record = client.study(study).pause(reason)
        say(f"{study} is {record.state}; {counted(record.counts.running, 'running trial')} will go on to the end")
        remark(f"Go on with:  {command('resume', study)}")


def resume(study: StudyName, reason: Reason = "resumed by a user", home: Home = None) -> None:
    """Go on with a paused study."""
    with connected(home) as client:
        handle = client.study(study)
        record = handle.resume(reason)
        say(f"{study} is {record.state}")
        _tell_of_code(handle)


def stop(study: StudyName, reason: Reason = "stopped by a user", home: Home = None) -> None:
    """End a study now: what runs is killed, what waits is cancelled; scores and its best trial stay."""
    with connected(home) as client:
        record = client.study(study).stop(reason)
        say(
            f"{study} is {record.state}: {counted(record.counts.finished, 'trial')} finished, {record.counts.cancelled}"
            " cancelled"
        )


def cancel(study: StudyName, number: TrialNumber, reason: Reason = "cancelled by a user", home: Home = None) -> None:
    """End one trial CANCELLED: it is not retried and uses no budget, so another takes its place."""
    with connected(home) as client:
        trial = client.study(study).cancel(number, reason)
        say(f"trial {number} of {study} is {trial.state}")


Trials = Annotated[
    str | None, typer.Option("--trials", help="Finished trials in all, or `+20` more.", show_default=False)
]
Wall = Annotated[
    str | None, typer.Option("--wall", help="Its time, such as `2h`, as in a study file.", show_default=False)
]
Numbers = Annotated[
    list[int] | None,
    typer.Argument(metavar="[N]...", min=0, help="The failed trials' numbers (default: all).", show_default=False),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def extend(
    study: StudyName, trials: Trials = None, wall: Wall = None, reason: Reason = "extended by a user", home: Home = None
) -> None:
    """Give a study a larger budget; one that has ended goes on."""
    with connected(home) as client:
        handle = client.study(study)
        had = handle.record.spec["budget"]["trials"]
        record = handle.extend(trials, wall=wall, reason=reason)
        budget = record.spec["budget"]
        more = f"{budget['trials']} trials instead of {had}" if budget["trials"] != had else f"{had} trials"
        limit = f", wall {span(budget['wall'])}" if "wall" in budget else ""
        say(f"{study} is {record.state}: it has a budget of {more}{limit}; {record.counts.finished} are finished")
        _tell_next(client, handle)


def reopen(study: StudyName, reason: Reason = "reopened by a user", home: Home = None) -> None:
    """Go on with a study that was stopped, failed, or ended before its budget was used."""
    with connected(home) as client:
        handle = client.study(study)
        record = handle.reopen(reason)
        say(f"{study} is {record.state}: {record.counts.finished} of {record.spec['budget']['trials']} finished")
        _tell_next(client, handle)


def retry(
    study: StudyName, numbers: Numbers = None, reason: Reason = "failed trials are run once more", home: Home = None
) -> None:
    """Run failed trials once more: same number and parameters, a new attempt; a study that has ended goes on."""
    with connected(home) as client:
        handle = client.study(study)
        again = handle.retry(numbers or None, reason)
        if not again:
            say(f"{study} has no failed trial")
            return
        listed = ", ".join(str(each.number) for each in again)
        say(f"{study} is {handle.state}: {counted(len(again), 'failed trial')} will run once more ({listed})")
        _tell_next(client, handle)


def delete(study: StudyName, yes: Yes = False, home: Home = None) -> None:
    """Delete a study that has ended: its rows, and its checkpoints and logs on this host. It cannot be undone."""
    from celeriac.client.retention import study_files
    from celeriac.store.values import not_deletable

    with connected(home) as client:
        handle = client.study(study)
        record = handle.record
        if error := not_deletable(record, handle.promoted):
            raise error
        files = study_files(client.settings, record.id)
        size = sum(path.lstat().st_size for _, path in files)
        say(
            f"{study} ({record.state}): {counted(record.next_number, 'trial')} with their reports, and "
            f"{counted(len(files), 'file')} of checkpoints and logs on this host ({size / 1e6:.1f} MB)"
        )
        if not yes:
            if not sys.stdin.isatty():
                raise typer.BadParameter("there is nobody to ask: give --yes to delete it")
            typer.confirm("Delete it for good?", abort=True, err=True)
        deleted = handle.delete()
        say(f"{study} is deleted, and {counted(deleted.count, 'file')} of it")
        for line in deleted.refused:
            remark(line)


def _tell_of_code(study: "Study") -> None:
    """Trials of two codes in one study are never passed over in silence."""
    if study.took_code:
        remark("Its code is another than before: trials from now on run that, and are ranked with those before")


def _tell_next(client: "Client", study: "Study") -> None:
    """The next step."""
    _tell_of_code(study)
    record = study.record
    if record.state == "PAUSED":
        remark(f"It is paused ({record.reason}); go on with:  {command('resume', study.name)}")
    elif not client.serves:
        remark(f"No service runs here: `{command('up')}`, or `celeriac run` with its file, goes on with it")
    else:
        remark(f"Watch it:  {command('watch', study.name)}")
