"""Commands that change a study or a trial: pause, resume, stop, cancel. One verb of the lifecycle each."""

from typing import Annotated

import typer

from celeriac.cli.screen import remark, say
from celeriac.cli.service import Home, StudyName, TrialNumber, connected
from celeriac.cli.text import counted

Reason = Annotated[str, typer.Option("--reason", help="Why: it is kept with the study.", show_default=False)]


def pause(study: StudyName, reason: Reason = "paused by a user", home: Home = None) -> None:
    """Start no more trials of a study; those that run go on to their end."""
    with connected(home) as client:
        record = client.study(study).pause(reason)
        say(
            f"{study} is {record.state}; {counted(record.counts.running, 'running trial')} will go on to the end"
        )
        remark(f"Go on with:  celeriac resume {study}")


def resume(study: StudyName, reason: Reason = "resumed by a user", home: Home = None) -> None:
    """Go on with a paused study."""
    with connected(home) as client:
        record = client.study(study).resume(reason)
        say(f"{study} is {record.state}")


def stop(study: StudyName, reason: Reason = "stopped by a user", home: Home = None) -> None:
    """End a study now: what runs is killed, what waits is cancelled; scores and its best trial stay."""
    with connected(home) as client:
        record = client.study(study).stop(reason)
        say(
            f"{study} is {record.state}: {counted(record.counts.finished, 'trial')} finished, {record.counts.cancelled} cancelled"
        )


def cancel(
    study: StudyName, number: TrialNumber, reason: Reason = "cancelled by a user", home: Home = None
) -> None:
    """End one trial CANCELLED: it is not retried and uses no budget, so another takes its place."""
    with connected(home) as client:
        trial = client.study(study).cancel(number, reason)
        say(f"trial {number} of {study} is {trial.state}")
