"""What Postgres and Redis have in common as children: one server to a data directory, held by a lock that the server
inherits.

The lock (flock on `<directory>.lock`) belongs to the server process itself, not to its starter: it lasts exactly as
long as the server or anything it forked lives, so neither `kill -9` of the starter nor a reused pid can make two
servers share one directory.
"""

import fcntl
import os
import select
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import psutil

from celeriac.domain.errors import StackError
from celeriac.runtime.process.programs import Child

SOCKET_PATH_BYTES = 107  # sun_path of unix(7), less the closing NUL
#: What a server carries of an environment, whatever its starter has.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
_LEAVING_S = 10.0  # a server whose starter was killed shuts down; so long a new one waits for it


@dataclass
class Server(Child):
    """A child that owns a data directory. `tidy` runs under the lock, before each start: what the last one left
    behind. `ready` tells whether it serves.
    """

    directory: Path = field(kw_only=True)
    tidy: Callable[[], None] = field(kw_only=True)
    ready: Callable[[], bool] = field(kw_only=True)

    def start(self) -> int:
        """As `Child.start`. A server whose starter was killed is on its way out, and waited for. Raises StackError when
        one is there to stay.
        """
        with held(self.directory, self.name) as lock:
            self.tidy()
            self.pass_fds = (lock,)
            pidfd = super().start()
            if self.process is not None:
                os.pwrite(lock, f"{self.process.pid} {os.getpid()}".encode().ljust(32), 0)
            return pidfd

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Return when it is ready, which is asked every 10 ms; its death ends the wait at once.

        Raises StackError, with the end of the log, when it dies or is not ready in time.
        """
        deadline = time.monotonic() + timeout_s
        with self._watched() as death:
            while not self.ready():
                if death is None or select.select([death], [], [], 0.01)[0]:
                    raise StackError(f"{self.name} in {self.directory} ended while it started:\n{self.log_tail()}")
                if time.monotonic() > deadline:
                    raise StackError(
                        f"{self.name} in {self.directory} is not ready after {timeout_s:g} s:\n{self.log_tail()}"
                    )

    @contextmanager
    def _watched(self) -> Iterator[int | None]:
        """A descriptor of our own that is readable once the server has died; None when it has been reaped already."""
        pid = self.pid
        descriptor = None if pid is None else os.pidfd_open(pid)
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)


@contextmanager
def held(directory: Path, name: str) -> Iterator[int]:
    """The lock of the directory, as a descriptor. Ours is closed afterwards; a server that inherited it keeps the lock.

    A server whose starter was killed is on its way out and is waited for. Raises StackError when one is there to stay.
    """
    make_private(directory.parent)
    lock = os.open(directory.with_name(directory.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(lock, directory, name)
        yield lock
    finally:
        os.close(lock)


def _take(lock: int, directory: Path, name: str) -> None:
    deadline = time.monotonic() + _LEAVING_S
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        pid, starter = _holder(lock)
        if pid is not None and _parent_of(pid) == starter:
            raise StackError(
                f"{name} runs already in {directory} as pid {pid}, started by pid {starter}: stop that first"
            )
        if time.monotonic() > deadline:
            raise StackError(
                f"{name} of an earlier stack (pid {pid}) has not left {directory} for {_LEAVING_S:g} s: end it, then"
                " start again"
            )
        time.sleep(0.02)  # flock has no descriptor to wait on, and its holders may be several processes


def _holder(lock: int) -> tuple[int | None, int | None]:
    """The pids of the server that took the lock and of its starter, as written in the lock's file."""
    words = os.pread(lock, 32, 0).split()
    return (int(words[0]), int(words[1])) if len(words) == 2 else (None, None)


def _parent_of(pid: int) -> int | None:
    try:
        return psutil.Process(pid).ppid()
    except psutil.NoSuchProcess:
        return None


def make_private(directory: Path) -> None:
    """Make the directory (0700) with its parents. Raises StackError when it cannot be made."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StackError(f"{directory} cannot be made ({error.strerror}): choose another --home") from error


def runtime_dir(home: Path, *, base: Path = Path("/tmp")) -> Path:  # noqa: S108  (`make_runtime_dir` looks)
    """Where the sockets of the stack at `home` are: `/tmp/celeriac-<uid>-<hash of home>`, made if need be.

    Not in `home` itself: a socket's path ends at 107 bytes. Raises StackError as `make_runtime_dir`.
    """
    mark = sha256(os.fsencode(home.absolute().resolve())).hexdigest()[:12]
    directory = base / f"celeriac-{os.geteuid()}-{mark}"
    make_runtime_dir(directory)
    return directory


def leave_runtime_dir(directory: Path) -> None:
    """Remove the directory of a stack that has ended, where nothing is left in it."""
    for place in (*directory.glob("*/"), directory):
        with suppress(OSError):
            place.rmdir()


def make_runtime_dir(directory: Path) -> None:
    """Make the private directory (0700) for the stack's sockets.

    It stands in /tmp, where anybody may make names: one that is a link, or someone else's, is refused with StackError.
    """
    make_private(directory)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        is_what = f"belongs to uid {found.st_uid}" if stat.S_ISDIR(found.st_mode) else "is not a directory"
        raise StackError(
            f"{directory} {is_what}, and this stack's sockets must not be there: remove it, or choose another --home"
        )
    directory.chmod(0o700)


def checked_socket(path: Path) -> Path:
    """The path, if a Unix socket can have it. Raises StackError."""
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_BYTES:
        raise StackError(
            f"{path} has {length} bytes and a socket's path at most {SOCKET_PATH_BYTES}: use a shorter runtime"
            " directory"
        )
    return path
