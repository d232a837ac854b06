"""What the stack keeps under its home: who runs it, how to reach it, its passwords. One place for all the paths.

postgres/ redis/ checkpoints/ logs/     data
run/lock                                held by the running `up`, or by a store that runs alone: its pid, and "store"
run/attached                            held, shared, by every `celeriac run` and `watch` that looks on
run/readers                             held, shared, by every reader where no stack runs
run/store.json                          how to reach the store that runs alone for them
run/stack.json                          how to reach the running stack (only while it runs)
run/secrets.json                        passwords, made once
run/owner.json                          the owner's API token
"""

import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celeriac.domain.errors import StackError, StackRuns
from celeriac.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Home:
    """The paths of one stack."""

    root: Path

    @property
    def run(self) -> Path:
        """Where the running stack keeps its state."""
        return self.root / "run"

    @property
    def owner(self) -> Path:
        """Where the owner's API token is kept."""
        return self.run / "owner.json"

    @property
    def logs(self) -> Path:
        """One log a program."""
        return self.root / "logs"

    @property
    def tag(self) -> str:
        """What marks this stack's processes."""
        return hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:16]

    def make(self) -> None:
        """Make the directories, closed to everybody else. Raises StackError when that cannot be."""
        try:
            for place in (self.root, self.run, self.logs):
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StackError(f"the home {self.root} cannot be made ({error}): choose another with --home") from error

    def lock(self, what: str = "stack") -> int:
        """Hold the home for this process; the descriptor must stay open. Raises StackError naming who holds it.

        `what`: "store" for a store that runs alone, which makes way for a stack.
        """
        descriptor = os.open(self.run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = "".join(os.pread(descriptor, 32, 0).decode().split()[:1])
            os.close(descriptor)
            raise StackRuns(
                f"a stack already runs on {self.root} (pid {holder}): use it, or stop it with `celeriac down`"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {what}\n".encode(), 0)
        return descriptor

    def holder(self, what: str = "") -> int | None:
        """The pid of the `up` or the lone store that holds this home, or None; `what`: only of a "store"."""
        try:
            descriptor = os.open(self.run / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, *kind = os.pread(descriptor, 32, 0).decode().split() or ["0"]
            return int(pid) or None if not what or what in kind else None
        finally:
            os.close(descriptor)
        return None

    def somebody_looks_on(self, how: str = "attached") -> bool:
        """Whether a `run` or `watch` holds the attachment lock, or a reader ("readers") its own."""
        descriptor = os.open(self.run / how, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def flower_login(self) -> tuple[str, str]:
        """Flower's user and password, made once."""
        path = self.run / "secrets.json"
        if not path.exists():
            write_private(path, {"flower_user": "celeriac", "flower_password": secrets.token_urlsafe(12)})
        found = json.loads(path.read_text())
        return found["flower_user"], found["flower_password"]


def tell_starter(settings: Settings, word: str, private: Sequence[str] = ()) -> None:
    """A line to whoever started this program and waits for it, if anybody does; then what no log may hold."""
    if settings.ready_fd >= 0:
        with suppress(OSError):  # it did not wait
            os.write(settings.ready_fd, "".join(f"{line}\n" for line in (word, *private)).encode())
            os.close(settings.ready_fd)


def write_private(path: Path, content: Mapping[str, Any]) -> None:
    """JSON to a file of mode 0600, whole or not at all."""
    building = path.with_name(path.name + ".new")
    descriptor = os.open(building, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=2)
    building.replace(path)
