"""Commands that start something and look on: up, down, run, submit, watch."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from celeriac.cli.exit_codes import LEFT, OK
from celeriac.cli.hints import command, remember
from celeriac.cli.screen import remark
from celeriac.cli.service import Home, Name, Slots, SpecFile, StudyName, connected

if TYPE_CHECKING:
    from celeriac.client import Client, Study
    from celeriac.runtime.settings import Settings

Detach = Annotated[bool, typer.Option("--detach", help="Do not watch: return once the study is open.")]
Background = Annotated[bool, typer.Option("--detach", help="Return once it is ready; it runs on in the background.")]
NoFlower = Annotated[bool, typer.Option("--no-flower", help="Do without Flower.")]


def up(home: Home = None, slots: Slots = 0, no_flower: NoFlower = False, detach: Background = False) -> None:
    """Start the whole service on this machine and keep it running, until Ctrl-C, or in the background until `celeriac
    down`.
    """
    options = ["--no-flower"] if no_flower else []
    chosen = ["--slots", str(slots)] if slots else []
    if not detach:
        _become("up", home, *chosen, *options)
    from celeriac.client.embedded import start_detached
    from celeriac.runtime.settings import Settings

    settings = Settings.from_env(home=home)
    remark(f"Starting a service under {settings.home} in the background …")
    print(start_detached(settings, [*chosen, *options]))


def down(home: Home = None) -> None:
    """Stop the service that runs on this machine; what was running goes on at the next start."""
    _become("down", home)


def _become(verb: str, home: Path | None, *options: str) -> None:
    """Be the stack's own program from here on: same process, same terminal, same Ctrl-C."""
    where = [] if home is None else ["--home", str(home)]
    os.execv(sys.executable, [sys.executable, "-P", "-m", "celeriac.local", verb, *where, *options])  # noqa: S606 - there is no shell to go through


def run(file: SpecFile, name: Name = None, home: Home = None, slots: Slots = 0, detach: Detach = False) -> None:
    """Run a study and show it live; starts the service on this machine if none answers.

    The same file again goes on where it was, also after a pause. Ctrl-C leaves the study running, twice stops it.
    """
    from celeriac.client import Client
    from celeriac.client.embedded import attached, ends_by_itself, ensure_service
    from celeriac.domain.records import CLOSED, StudyState

    remember(home)
    settings = _checked(file, name, home)
    with attached(settings), Client(ensure_service(settings, slots=slots, say=remark)) as client:
        study = _open(client, file, name)
        if study.state is StudyState.PAUSED:
            study.resume("resumed by `celeriac run`")
            remark(f"{study.name} was paused; it goes on")
        code = OK if detach else _look_on(client, study)
        if not detach and study.state in CLOSED and ends_by_itself(client.settings):
            back = command("up")
            remark(f"The service ends by itself in a moment; its results stay readable, and `{back}` brings it back.")
    raise typer.Exit(code)


def submit(file: SpecFile, name: Name = None, home: Home = None) -> None:
    """Open a study on the service that runs, and return at once."""
    _checked(file, name, home)
    with connected(home, serving=True) as client:
        study = _open(client, file, name)
        remark(f"Watch it:  {command('watch', study.name)}")
        print(study.name)


def watch(study: StudyName, home: Home = None) -> None:
    """Show a study live until it ends, then its winner."""
    from celeriac.client.client import no_service
    from celeriac.client.embedded import attached
    from celeriac.client.progress import is_settled
    from celeriac.runtime.settings import Settings

    with attached(Settings.from_env(home=home)), connected(home) as client:
        handle = client.study(study)
        if not client.serves and not is_settled(handle.record):
            raise no_service(client.settings)
        code = _look_on(client, handle)
    raise typer.Exit(code)


def _checked(file: Path, name: str | None, home: Path | None) -> "Settings":
    """The settings, once the file and the objective that it names are sound: what is wrong there needs no service to
    be told.
    """
    from celeriac.client.client import read_study
    from celeriac.client.objective import code_root_of
    from celeriac.runtime.settings import Settings

    settings = Settings.from_env(home=home)
    code_root_of(*read_study(file, name), settings.code_root)
    return settings


def _open(client: "Client", file: Path, name: str | None) -> "Study":
    submission = client.open(file, name=name)
    study = submission.study
    done = "Attached to" if submission.attached else "Opened"
    remark(f"{done} study {study.name} ({study.state})")
    for note in submission.notes:
        remark(f"Note: {note}")
    return study


def _look_on(client: "Client", study: "Study") -> int:
    from celeriac.cli.live import Left, watch
    from celeriac.cli.summary import tell

    try:
        return tell(client, watch(client, study))
    except Left:
        return LEFT
