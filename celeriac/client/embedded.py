"""A stack of one's own: started in the background when no service answers, left alone when it is there.

It is started as a program (`python -m celeriac.local up --idle-exit`), exactly as `celeriac up` starts it, and ends by
itself when nothing is left to run and nobody is attached. A client says that it is attached by a shared lock on
`run/attached`.
"""

import fcntl
import json
import os
import select
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TextIO

import psutil

from celeriac.domain.errors import StackError, StoreUnavailable
from celeriac.runtime.settings import Settings, inherited
from celeriac.store import open_store

#: Making a database cluster takes seconds; a minute and a half means that something is wrong.
START_S = 90.0
_AGAIN_S = 0.5


@contextmanager
def attached(settings: Settings, how: str = "attached") -> Iterator[None]:
    """Hold the stack up for the block: one that ends when idle does not while a client is attached. Raises StackError.

    `how` "readers": hold a store that runs alone.
    """
    run = settings.home / "run"
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        run.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(run / how, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
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

    `slots` 0 lets the stack choose. Raises StoreUnavailable when a service was named and does not answer, StackError
    when the stack does not come up, with the end of what it said.
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
    try:
        say(f"No service answers: starting one under {settings.home} (it ends by itself when nothing is left to run)")
        _start(settings, slots)
    except KeyboardInterrupt:
        say(
            f"left with Ctrl-C: the service under {settings.home}, where it began to start, ends by itself; "
            f"`celeriac down --home {shlex.quote(str(settings.home))}` ends it now"
        )
        raise
    found = Settings.from_env(home=settings.home)
    ping(found)
    return found


def ends_by_itself(settings: Settings) -> bool:
    """Whether the service is an embedded stack that ends when nothing is left to run, as `ensure_service` starts it."""
    return bool(_said_of_itself(settings).get("idle_exit"))


def was_killed(settings: Settings) -> bool:
    """Whether the service was an embedded stack that was killed: it left its file, and its process is gone."""
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
    with closing(open_store(settings.database_url)) as store:
        store.check_schema()


class Started(StrEnum):
    """What became of a program that was started."""

    READY = "ready"
    TAKEN = "taken"  # another one runs on this home
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Said:
    """How a start ended, the last lines that the program said, and what it told us alone: its log has no password."""

    how: Started
    tail: str
    private: str = ""


def start_detached(settings: Settings, options: Sequence[str]) -> str:
    """Start a stack that stays until it is told to stop; what it said until it was ready. Raises StackError."""
    said = start_program(settings.home, ["up", "--home", str(settings.home), *options], START_S)
    if said.how is not Started.READY:
        raise StackError(f"the stack under {settings.home} did not come up:\n{said.tail}")
    return f"{said.tail}\n{said.private}"


def _start(settings: Settings, slots: int) -> None:
    """Start the stack until it is ready. One that is ending, or was just started by another, is waited for."""
    until = monotonic() + START_S
    chosen = ["--slots", str(slots)] if slots else []
    words = ["up", "--home", str(settings.home), *chosen, "--idle-exit"]
    while (said := start_program(settings.home, words, until - monotonic())).how is not Started.READY:
        if said.how is Started.FAILED or monotonic() > until:
            raise StackError(
                f"the stack under {settings.home} did not come up (its logs are in {settings.home}/logs):\n{said.tail}"
            )
        try:
            ping(Settings.from_env(home=settings.home))
        except StoreUnavailable:
            sleep(_AGAIN_S)
        else:
            return


def start_program(home: Path, words: Sequence[str], patience_s: float) -> Said:
    """Start `python -m celeriac.local` in the background; returns when it says that it is ready, or ends. One that
    takes too long is stopped.

    It runs in a session of its own, so that Ctrl-C here does not reach it, and writes to a file, so that it outlives
    us.
    """
    path = home / "logs" / "up.log"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    ready, says = os.pipe()
    with path.open("ab") as log, path.open("rb") as reader, os.fdopen(ready) as ready_file:
        reader.seek(0, os.SEEK_END)
        try:
            program = subprocess.Popen(
                [sys.executable, "-P", "-m", "celeriac.local", *words],
                env=inherited({"READY_FD": str(says)}),
                pass_fds=(says,),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            os.close(says)
        how = _until_ready(program, ready_file, patience_s)
        private = ready_file.read().rstrip() if how is Started.READY else ""
        tail = "\n".join(reader.read().decode(errors="replace").strip().splitlines()[-15:])
    return Said(how, tail, private)


def _until_ready(program: "subprocess.Popen[bytes]", ready: TextIO, patience_s: float) -> Started:
    """What the program says of itself; the descriptor's end without a word is its failure."""
    if not select.select([ready], [], [], max(patience_s, 0.0))[0]:
        program.terminate()
        program.wait()
        return Started.FAILED
    word = ready.readline().strip()
    if word != Started.READY:
        program.wait()
        return Started(word or Started.FAILED)
    program.returncode = 0  # it goes on without us: nobody waits for it
    return Started.READY
