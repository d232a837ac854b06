"""The way from a command to the service, and the options that many commands share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from celeriac.client import Client

Home = Annotated[
    Path | None,
    typer.Option("--home", help="Where the embedded stack keeps its state (default: ~/.celeriac)."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON with stable keys.")]
Name = Annotated[
    str | None, typer.Option("--name", help="Call the study this, instead of what the file says.")
]
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="The study's name.", show_default=False)]
TrialNumber = Annotated[
    int, typer.Argument(metavar="N", min=0, help="The trial's number.", show_default=False)
]
SpecFile = Annotated[Path, typer.Argument(metavar="FILE", help="A study file (YAML).", show_default=False)]
Slots = Annotated[
    int,
    typer.Option(
        "--slots", min=0, help="CPU slots of a stack that is started (default: one per GPU, else per core)."
    ),
]


@contextmanager
def connected(home: Path | None) -> Iterator["Client"]:
    """A client of the service that the environment names, or of the stack under `home`; a schema that does not fit is said."""
    from celeriac.client import Client
    from celeriac.client.embedded import was_killed
    from celeriac.errors import StoreUnavailable

    with Client(home=home) as client:
        try:
            client.store.check_schema()
        except StoreUnavailable as error:
            if not was_killed(client.settings):
                raise
            raise StoreUnavailable(
                f"the stack under {client.settings.home} was killed: `celeriac up` starts it again, and its studies go on"
            ) from error
        yield client
