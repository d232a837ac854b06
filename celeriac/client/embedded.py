"""A stack of one's own: started in the background when no service answers, left alone when it is there.

It is started as a program (`python -m celeriac.stack up --idle-exit`), exactly as `celeriac up` starts it, and ends by itself when
nothing is left to run and nobody is attached. A client says that it is attached by a shared lock on `run/attached`.
"""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import IO, Any

import psutil

from celeriac.errors import StackError, StoreUnavailable
from celeriac.settings import Settings
from celeriac.store import open_store

#: Making a database cluster takes seconds; a minute and a half means that something is wrong.
START_S = 90.0
_LOOK_S = 0.1
_AGAIN_S = 0.5


@contextmanager
def attached(settings: Settings) -> Iterator[None]:
    """Hold the stack up for the block: one that ends when idle does not while a client is attached. Raises StackError."""
    run = settings.home / "run"
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        run.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(run / "attached", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StackError(
            f"the home {settings.home} cannot be written to ({error.strerror}): choose another with --home"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def ensure_service(settings: Settings, *, slots: int = 0, say: Callable[[str], None]) -> Settings:
    """Settings of a service that answers: the given one's, or those of a stack that is started for the purpose.

    `slots` 0 lets the stack choose. Raises StoreUnavailable when a service was named and does not answer, StackError when the
    stack does not come up, with the end of what it said.
    """
    if settings.has_service:
        try:
            ping(settings)
        except StoreUnavailable:
            settings = Settings.from_env(home=settings.home)
            if settings.has_service and not settings.stack_file.exists():
                raise  # the address was given: starting something else would not help
        else:
            return settings
    say(
        f"No service answers: starting one under {settings.home} (it ends by itself when nothing is left to run)"
    )
    _start(settings, slots)
    found = Settings.from_env(home=settings.home)
    ping(found)
    return found


def ends_by_itself(settings: Settings) -> bool:
    """Whether the service is an embedded stack that ends when nothing is left to run, as `ensure_service` starts it."""
    return bool(_said_of_itself(settings).get("idle_exit"))


def was_killed(settings: Settings) -> bool:
    """Whether the service was an embedded stack that ended without a word: what it said of itself is there, its process is not."""
    pid = _said_of_itself(settings).get("pid")
    return isinstance(pid, int) and not psutil.pid_exists(pid)


def _said_of_itself(settings: Settings) -> dict[str, Any]:
    """What the stack under this home said when it was ready; nothing where the service is another."""
    try:
        found: dict[str, Any] = json.loads(settings.stack_file.read_text())
    except (OSError, ValueError):
        return {}
    return found if found.get("database_url") == settings.database_url else {}


def ping(settings: Settings) -> None:
    """Nothing, when the database answers. Raises StoreUnavailable, SchemaMismatch."""
    if not settings.has_service:
        raise StoreUnavailable(f"no stack runs under {settings.home}: `celeriac up` starts one")
    store = open_store(settings.database_url)
    try:
        store.check_schema()
    finally:
        store.close()


def up_command(home: Path, slots: int, *options: str) -> list[str]:
    """How the embedded stack is started."""
    chosen = ["--slots", str(slots)] if slots else []
    return [sys.executable, "-P", "-m", "celeriac.stack", "up", "--home", str(home), *chosen, *options]


def _start(settings: Settings, slots: int) -> None:
    """Start the stack, and return when it is ready. One that is just ending, or was just started by another, is waited for."""
    until = monotonic() + START_S
    while not _is_ready(said := _said_at_start(settings.home, slots, until - monotonic())):
        if "already runs" not in said or monotonic() > until:
            tail = "\n".join(said.strip().splitlines()[-15:])
            raise StackError(
                f"the stack under {settings.home} did not come up (its logs are in {settings.home}/logs):\n{tail}"
            )
        try:
            ping(Settings.from_env(home=settings.home))
        except StoreUnavailable:
            sleep(_AGAIN_S)
        else:
            return


def _said_at_start(home: Path, slots: int, patience_s: float) -> str:
    """What a new stack says until it is ready, ends, or takes too long.

    It runs in a session of its own, so that Ctrl-C here does not reach it, and writes to a file, so that it outlives us.
    """
    path = home / "logs" / "up.log"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("ab") as log, path.open("rb") as reader:
        reader.seek(0, os.SEEK_END)
        program = subprocess.Popen(
            up_command(home, slots, "--idle-exit"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return _until_ready(program, reader, patience_s)


def _is_ready(said: str) -> bool:
    return "\nReady" in f"\n{said}"


def _until_ready(program: "subprocess.Popen[bytes]", log: IO[bytes], patience_s: float) -> str:
    """What the stack says until it is ready or ends; one that takes too long is stopped."""
    said, until = "", monotonic() + patience_s
    while not _is_ready(said):
        if monotonic() > until:
            program.terminate()
            program.wait()
            return f"{said}\nnot ready after {patience_s:.0f} s"
        try:
            program.wait(timeout=_LOOK_S)  # returns at once when it ends
        except subprocess.TimeoutExpired:
            said += log.read().decode(errors="replace")
        else:
            return said + log.read().decode(errors="replace")
    program.returncode = 0  # it goes on without us: nobody waits for it
    return said
