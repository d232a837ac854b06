"""Programs that start and keep other programs: `celeriac up` and the worker's node. Linux only.

Promises: a child never outlives its starter (parent-death signal, in a session of its own); what a child left behind
can be found again by the tag in its environment; waiting is done on descriptors, never by polling. How long until the
next restart is decided by `Backoff`.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from celeriac.domain.errors import StackError
from celeriac.runtime.process.linux import die_with_parent

_STEPS_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_HEALTHY_S = 30.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often a program has died shortly after its start. Pure: `died` gives the next value."""

    deaths: int = 0

    def died(self, *, after_s: float) -> "Backoff":
        """After a death; one that had lived for half a minute starts from the beginning."""
        return Backoff(1 if after_s >= _HEALTHY_S else self.deaths + 1)

    @property
    def wait_s(self) -> float:
        """Seconds until the next start: 0.2, 0.5, 1, 2, then 5."""
        return _STEPS_S[min(max(self.deaths, 1), len(_STEPS_S)) - 1]


@dataclass
class Child:
    """One supervised program.

    `log`: its output is appended there, and the file is turned over once when it has passed `log_bytes`; with
    `shares_output` it goes where the starter's own goes, and with neither it is dropped. `death_signal`: what the
    kernel sends it when its starter dies. `before_exec` runs in the child before the program (a change of user, say).
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    log: Path | None = None
    log_bytes: int = 16_777_216
    pass_fds: Sequence[int] = ()
    death_signal: int = signal.SIGKILL
    stop_signal: int = signal.SIGTERM
    before_exec: Callable[[], None] | None = None
    cwd: str | None = None
    shares_output: bool = False
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def start(self) -> int:
        """Start it and return a descriptor that becomes readable when it has died (a pidfd; the caller closes it)."""
        parent = os.getpid()

        def prepare() -> None:
            if self.before_exec is not None:
                self.before_exec()
            die_with_parent(parent, self.death_signal)

        with self._output() as output:
            try:
                self.process = subprocess.Popen(
                    list(self.argv),
                    env=dict(self.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=None if self.shares_output else subprocess.STDOUT,
                    pass_fds=tuple(self.pass_fds),
                    start_new_session=True,
                    preexec_fn=prepare,  # the starter forks from its only thread
                    cwd=self.cwd,
                )
            except OSError as error:
                raise StackError(f"{self.name} cannot be started ({self.argv[0]}: {error})") from error
        return os.pidfd_open(self.process.pid)

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self.process.pid if self.process is not None and self.process.poll() is None else None

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return None if self.process is None else self.process.poll()

    def signal(self, number: int) -> None:
        """Send a signal to the program alone, if it runs."""
        if self.pid is not None:
            os.kill(self.pid, number)

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended within that time."""
        if self.process is None:
            return True
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, grace_s: float) -> None:
        """Ask it to end, wait for `grace_s`, then kill its process group."""
        self.signal(self.stop_signal)
        if not self.wait(grace_s):
            self.kill()

    def kill(self) -> None:
        """SIGKILL to its whole process group, and reap it."""
        if self.process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of its log: what a person needs when it will not start."""
        if self.log is None or not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 16_384))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])

    def _output(self) -> AbstractContextManager[IO[bytes] | None]:
        if self.shares_output:
            return nullcontext()
        if self.log is None:
            return open(os.devnull, "wb")
        self.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileNotFoundError):
            if self.log.stat().st_size > self.log_bytes:
                self.log.replace(self.log.with_suffix(".old.log"))
        return self.log.open("ab")


def tagged(variable: str, value: str) -> list[psutil.Process]:
    """Every process that was started with `variable=value` in its environment, whoever its parent is by now."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(variable) == value:
                found.append(process)
    return found


def sweep(processes: Iterable[psutil.Process]) -> list[int]:
    """SIGKILL what a starter that was itself killed left behind; returns the ids once they are gone."""
    killed = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
            killed.append(process)
    psutil.wait_procs(killed, timeout=10)
    return [process.pid for process in killed]


def announce_ready(descriptor: int) -> None:
    """Tell the starter that this program is ready; does nothing (-1) when nobody waits."""
    if descriptor >= 0:
        with suppress(OSError):  # the starter may have stopped waiting, or this is a restart
            os.write(descriptor, b"\n")
            os.close(descriptor)
