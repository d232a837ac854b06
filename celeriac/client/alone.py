"""Reading where no service runs: the store of the home is started by itself, and ends a few seconds after its last
reader.

It is started as a program (`python -m celeriac.local store`), which many readers share. A reader says that it reads by
a shared lock on `run/readers`; the lock goes with its process, so nothing stays behind whatever becomes of the reader.
"""

import json
from contextlib import ExitStack
from time import monotonic, sleep

import psutil

from celeriac.client.embedded import START_S, Started, attached, start_program
from celeriac.domain.errors import StackError
from celeriac.runtime.settings import Settings

_AGAIN_S = 0.05


def store_url(settings: Settings, held: ExitStack) -> str:
    """The address of this home's store, which stays there until `held` is closed. Raises StackError."""
    held.enter_context(attached(settings, "readers"))
    until = monotonic() + START_S
    while True:
        if url := _published(settings):
            return url
        said = start_program(settings.home, ["store", "--home", str(settings.home)], until - monotonic())
        if said.how is Started.FAILED or monotonic() > until:
            raise StackError(f"the store under {settings.home} did not come up: {said.tail}")
        if said.how is Started.TAKEN:
            sleep(_AGAIN_S)  # by another reader's, which is about to say so, or by a stack that starts or ends


def _published(settings: Settings) -> str:
    """What a store that runs alone, or a stack that has started meanwhile, says of its address."""
    for file in (settings.store_file, settings.stack_file):
        try:
            said = json.loads(file.read_text())
            if psutil.pid_exists(said["pid"]):
                return str(said["database_url"])
        except (OSError, ValueError, KeyError):
            continue
    return ""
