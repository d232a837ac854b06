"""The way from a command to the service, and the options that many commands share."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from celeriac.cli.hints import remember
from celeriac.domain.errors import CallerError
from celeriac.runtime.settings import home_path

if TYPE_CHECKING:
    from celeriac.client import Client
    from celeriac.client.service import Service
    from celeriac.runtime.settings import Settings


def _home(text: str) -> Path:
    try:
        return home_path(text)
    except ValueError:
        raise typer.BadParameter("is empty: name a directory, or leave the option out") from None


Home = Annotated[
    Path | None,
    typer.Option(
        "--home", parser=_home, metavar="PATH", help="Where the embedded stack keeps its state (default: ~/.celeriac)."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON with stable keys.")]
Name = Annotated[str | None, typer.Option("--name", help="Call the study this, instead of what the file says.")]
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="The study's name.", show_default=False)]
TrialNumber = Annotated[int, typer.Argument(metavar="N", min=0, help="The trial's number.", show_default=False)]
SpecFile = Annotated[Path, typer.Argument(metavar="FILE", help="A study file (YAML).", show_default=False)]
Slots = Annotated[
    int,
    typer.Option("--slots", min=0, help="CPU slots of a stack that is started (default: one per GPU, else per core)."),
]


_GROUPS = ("schedule", "study", "token")


def become(program: str, *words: str, home: Path | None = None) -> NoReturn:
    """Be this program of ours from here on: same process, same terminal, same Ctrl-C."""
    where = [] if home is None else ["--home", str(home)]
    os.execv(sys.executable, [sys.executable, "-P", "-m", program, *words, *where])  # noqa: S606 - there is no shell to go through


def is_remote(home: Path | None) -> bool:
    """Whether the service is asked over its API: `CELERIAC_URL` names it, and no home was given."""
    from celeriac.runtime.settings import Settings

    return home is None and bool(Settings.from_env(running_stack=False).url)


@contextmanager
def reached(home: Path | None, *, serving: bool = False) -> Iterator["Service"]:
    """The service that `CELERIAC_URL` names, over its API; without it, or with a home, as `connected`."""
    from celeriac.runtime.settings import Settings

    if is_remote(home):
        from celeriac.client.remote.client import RemoteClient

        yield RemoteClient(Settings.from_env(running_stack=False))
        return
    with connected(home, serving=serving) as client:
        yield client


@contextmanager
def connected(home: Path | None, *, serving: bool = False, why: str = "it needs the database") -> Iterator["Client"]:
    """A client of the service that the environment names, or of the stack under `home`; a schema that does not fit is
    said.

    Where no stack runs, of the store that is kept there, unless there must be somebody `serving`. `why`: what a command
    needs that the API has not. Raises CallerError where there is only the API.
    """
    from celeriac.runtime.settings import Settings

    remember(home)
    if is_remote(home):
        url = Settings.from_env(running_stack=False).url
        words = [each for each in sys.argv[1:3] if not each.startswith("-")]
        named = " ".join(["celeriac", *words[: 2 if words[:1] and words[0] in _GROUPS else 1]])
        raise CallerError(
            f"`{named}` cannot be done over the API ({url}): {why}. Run it on the service's host, or unset CELERIAC_URL"
            " and set CELERIAC_DATABASE_URL and CELERIAC_BROKER_URL"
        )
    with ExitStack() as held, _opened(Settings.from_env(home=home), held, serving) as client:
        yield client


def _opened(settings: "Settings", held: ExitStack, serving: bool) -> "Client":
    from celeriac.client import Client
    from celeriac.client.client import no_service
    from celeriac.client.embedded import attached, was_killed
    from celeriac.domain.errors import SchemaMismatch, StoreUnavailable

    if serving and not settings.has_service:
        raise no_service(settings)
    if settings.stack_file.exists():
        held.enter_context(attached(settings))  # or it might end while this reads
    client = Client(settings)
    try:
        client.store.check_schema()
    except SchemaMismatch:
        if client.serves:
            raise
        from celeriac.store.migrate import migrate

        migrate(client.settings.database_url)  # as a stack does when it starts
    except StoreUnavailable as error:
        client.close()
        gone = was_killed(settings)
        if gone and (serving or not settings.has_store):
            raise StoreUnavailable(
                f"the stack under {settings.home} was killed: `celeriac up` starts it again, and its studies go on"
            ) from error
        if not gone and (settings.stack_file.exists() or not _was_embedded(settings)):
            raise
        return _opened(replace(settings, database_url="", broker_url=""), held, serving)
    return client


def _was_embedded(settings: "Settings") -> bool:
    """Whether the address is that of the stack under the home, which has ended by now."""
    from celeriac.runtime.settings import Settings

    return settings.has_service and not Settings.from_env(home=settings.home).has_service
