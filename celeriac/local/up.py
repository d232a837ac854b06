"""`celeriac up`: start everything, say where it is, keep it alive, stop it in order.

Promises: ready means that Postgres has the right schema, that every program takes tickets, and that the board listens
at the address that is printed. Ctrl-C stops the node first, which hands its trials back with their checkpoints. After
a kill -9 of this process nothing lives on, and the next `up` on the same home goes on where this one was.
"""

import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import psutil

from celeriac.domain.errors import StackError, StoreUnavailable
from celeriac.local.home import Home, tell_starter, write_private
from celeriac.local.postgres import Postgres
from celeriac.local.redis import Redis
from celeriac.local.server import leave_runtime_dir, runtime_dir
from celeriac.local.store_alone import lock_for_stack
from celeriac.runtime.process.programs import Child, sweep, tagged
from celeriac.runtime.process.secrets import environment_without, secrets_descriptor
from celeriac.runtime.process.supervisor import Supervisor
from celeriac.runtime.settings import PREFIX, Settings
from celeriac.store.capacity import connections_needed

READY_S = 60.0
SLOTS = 64
IDLE_S = 10.0
LEAVING_S = 5.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asked for. `slots` None leaves their number to the node."""

    slots: int | None = None
    flower: bool = True
    idle_exit: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """One program of ours. `announces`: it says when it is ready, and `up` waits for that."""

    name: str
    words: tuple[str, ...]
    announces: bool = True

    @property
    def argv(self) -> tuple[str, ...]:
        """How it is started."""
        return (sys.executable, "-P", "-m", *self.words)


def programs(wishes: Wishes) -> list[Program]:
    """All programs in the order of their start; they are stopped in the reverse order, the node first."""
    flower = [Program("flower", ("coordinator", "flower"), announces=False)]
    slots = () if wishes.slots is None else ("--slots", str(wishes.slots))
    return [
        Program("drive", ("coordinator", "drive")),
        Program("clock", ("coordinator", "clock")),
        Program("beat", ("coordinator", "beat"), announces=False),
        *(flower if wishes.flower else []),
        Program("node", ("worker", *slots)),
    ]


#: Started once the others are ready, so that nothing that runs a trial waits for it.
WEB = Program("web", ("celeriac.web",))
MLFLOW = Program("mlflow", ("celeriac.doors.mlflow_live",), announces=False)


def up(settings: Settings, wishes: Wishes, say: Callable[[str], None]) -> int:
    """Run the stack until it is told to stop; returns the exit code. Raises StackError when it cannot start."""
    home = Home(settings.home)
    home.make()
    lock = lock_for_stack(home)
    try:
        return _Up(settings, wishes, home, say).run()
    finally:
        os.close(lock)


class _Up:
    """One run of the stack: the steps of `run` in order."""

    def __init__(self, settings: Settings, wishes: Wishes, home: Home, say: Callable[[str], None]) -> None:
        self._wishes, self._home, self._say = wishes, home, say
        marked = {PREFIX + "STACK": home.tag}
        self._sockets = sockets = runtime_dir(home.root)
        self._postgres = Postgres(
            home.root / "postgres",
            sockets,
            log=home.logs / "postgres.log",
            # Slots that nobody named are this machine's GPUs, which only the node counts.
            max_connections=connections_needed(max(wishes.slots or settings.slots, SLOTS)),
            environment=marked,
            say=say,
        )
        self._redis = Redis(home.root / "redis", sockets, log=home.logs / "redis.log", environment=marked)
        self._settings = settings
        self._supervisor = Supervisor(say)
        self._claims = ExitStack()
        self._idle_since: datetime | None = None

    def run(self) -> int:
        self._supervisor.catch(signal.SIGINT, signal.SIGTERM)
        began = datetime.now(UTC)
        try:
            self._clear_what_a_kill_left()
            self._start_servers()
            self._migrate()
            self._start_programs()
            self._publish(began)
            until = self._is_idle if self._wishes.idle_exit else None
            self._supervisor.run(until=until)
            self._say("stopping: running trials write their checkpoints and are handed back; Ctrl-C again hurries")
        finally:
            self._home_file.unlink(missing_ok=True)
            self._supervisor.stop(self._grace_s)
            self._claims.close()
            leave_runtime_dir(self._sockets)
        self._say("stopped")
        return 0

    # -- start ------------------------------------------------------------------------------------------------------
    def _clear_what_a_kill_left(self) -> None:
        self._home_file.unlink(missing_ok=True)
        # Everything dies with its starter, Postgres in order, which takes it a moment; what is then left is stuck, or
        # hid.
        _, left = psutil.wait_procs(tagged(PREFIX + "STACK", self._home.tag), timeout=LEAVING_S)
        if sweep(left):
            self._say(f"ended {len(left)} processes that an earlier stack had left behind")

    def _start_servers(self) -> None:
        if self._postgres.init():
            self._say(f"made a Postgres cluster in {self._postgres.data_dir}")
        self._supervisor.keep(self._postgres.child, is_server=True)
        self._supervisor.keep(self._redis.child, is_server=True)
        self._postgres.child.wait_ready()
        self._redis.child.wait_ready(30.0)
        user, password = self._home.flower_login()
        self._settings = replace(
            self._settings,
            database_url=self._postgres.dsn,
            broker_url=self._redis.url,
            flower_user=user,
            flower_password=password,
            flower_port=self._port(self._settings.flower_port) if self._wishes.flower else 0,
            web_port=self._port(self._settings.web_port) if self._settings.web_port and _has_web() else 0,
        )
        self._secrets_fd = secrets_descriptor(
            self._settings, "database_url", "broker_url", "flower_user", "flower_password"
        )

    def _port(self, wanted: int) -> int:
        port, claim = claimed_port(wanted)
        self._claims.enter_context(claim)
        return port

    def _migrate(self) -> None:
        # In a process of its own: Alembic and SQLAlchemy would stay in this one's memory for as long as it runs.
        done = subprocess.run(
            [
                sys.executable,
                "-P",
                "-m",
                "celeriac.local",
                "migrate",
                *(["--admit"] if self._settings.web_port else []),
            ],
            env=self._environment(None),
            pass_fds=(self._secrets_fd,),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StackError(f"the database's schema could not be brought up to date: {done.stderr.strip()}")
        self._link = done.stdout.strip()

    def _start_programs(self) -> None:
        self._supervisor.wait_for(self._keep(programs(self._wishes)), READY_S)
        others = [WEB] if self._settings.web_port else []
        listens = self._keep([*others, MLFLOW] if self._settings.mlflow_uri else others)
        # Who is told of the board may click at once. A stack that `celeriac run` starts for a study does not wait.
        if not self._wishes.idle_exit:
            self._supervisor.wait_for(listens, READY_S)

    def _keep(self, wanted: Sequence[Program]) -> dict[int, str]:
        """Start programs; the descriptors on which those that announce themselves will say that they are ready."""
        waiting: dict[int, str] = {}
        for program in wanted:
            ready, says = os.pipe() if program.announces else (-1, None)
            self._supervisor.keep(self._child(program, says))
            if program.announces:
                waiting[ready] = program.name
        return waiting

    def _child(self, program: Program, says: int | None) -> Child:
        # A restarted program gets the same descriptors again, so they stay open here for as long as the stack runs.
        return Child(
            program.name,
            program.argv,
            self._environment(says),
            log=self._home.logs / f"{program.name}.log",
            pass_fds=(self._secrets_fd,) if says is None else (self._secrets_fd, says),
        )

    def _environment(self, says: int | None) -> dict[str, str]:
        """The environment of one program: this one's own, the home, and descriptors instead of secrets."""
        given = {"HOME": str(self._home.root), "STACK": self._home.tag}
        given |= {"FLOWER_PORT": str(self._settings.flower_port), "WEB_PORT": str(self._settings.web_port)}
        given |= {"WEB_ADDRESS": "127.0.0.1", "FLOWER_URL": self._flower_url or ""}
        if says is not None:
            given["READY_FD"] = str(says)
        return {
            **environment_without(os.environ, self._secrets_fd),
            **{PREFIX + name: value for name, value in given.items()},
            "PYTHONUNBUFFERED": "1",
        }

    # -- while it runs ----------------------------------------------------------------------------------------------
    @property
    def _home_file(self) -> Path:
        return self._settings.stack_file

    def _web_url(self) -> str | None:
        """Where this machine's browsers find the board: under the public address, where there is one."""
        if not self._settings.web_port:
            return None
        scheme = "https" if self._settings.web_cert else "http"
        return self._settings.web_public_url.rstrip("/") or f"{scheme}://127.0.0.1:{self._settings.web_port}"

    def _publish(self, began: datetime) -> None:
        if self._supervisor.asked_to_stop:
            return
        took_s = (datetime.now(UTC) - began).total_seconds()
        content = {
            "pid": os.getpid(),
            "started_at": began.isoformat(),
            "database_url": self._settings.database_url,
            "broker_url": self._settings.broker_url,
            "idle_exit": self._wishes.idle_exit,
            "flower_url": self._flower_url,
            "web_url": self._web_url(),
        }
        write_private(self._home_file, content)
        self._say(f"home      {self._home.root}")
        self._say(f"logs      {self._home.logs}")
        private: list[str] = []
        if content["web_url"]:
            self._say(f"board     {content['web_url']}")
            private.append(f"link      {content['web_url']}/login/once?code={self._link}")
            private.append("          lets you in once, within the hour; `celeriac token link` makes another")
        elif not _has_web():
            self._say("board     not installed here: `pip install celeriac[web]`")
        if self._wishes.flower:
            board = content["web_url"]
            self._say(f"Flower    {board}/flower/" if board else f"Flower    {content['flower_url']}")
            self._say("          its list of tasks begins when it starts; `celeriac status` has them all")
            if not board:
                user, password = self._settings.flower_user, self._settings.flower_password
                private.append(f"login     user {user}, password {password} (Flower)")
        if self._settings.ready_fd < 0:  # on a terminal; else this is a log, and the starter is told below
            for line in private:
                self._say(line)
        where = (
            ""
            if self._home.root == Path("~/.celeriac").expanduser()
            else f" --home {shlex.quote(str(self._home.root))}"
        )
        self._say(f"try       celeriac run examples/digits/study.yaml{where}")
        here = "" if self._settings.ready_fd >= 0 else "Ctrl-C here, or "
        self._say(f"stop      {here}`celeriac down{where}`")
        self._say(f"Ready after {took_s:.1f} s")
        tell_starter(self._settings, "ready", private)

    @property
    def _flower_url(self) -> str | None:
        return f"http://127.0.0.1:{self._settings.flower_port}" if self._wishes.flower else None

    def _is_idle(self) -> bool:
        """Nothing to run and nobody looking on, for a while: a stack that `celeriac run` started ends by itself."""
        now = datetime.now(UTC)
        if self._home.somebody_looks_on() or self._has_open_studies():
            self._idle_since = None
            return False
        self._idle_since = self._idle_since or now
        return (now - self._idle_since).total_seconds() >= IDLE_S

    def _has_open_studies(self) -> bool:
        from celeriac.store import open_store

        store = open_store(self._settings.database_url)
        try:
            return bool(store.studies_to_drive())
        except StoreUnavailable:
            return True  # being restarted: nobody knows, so go on
        finally:
            store.close()

    def _grace_s(self, name: str) -> float:
        if name == "node":
            return self._settings.checkpoint_grace_s + 2 * self._settings.kill_grace_s + 5.0
        return 20.0 if name == "postgres" else 5.0


def down(settings: Settings, timeout_s: float = 90.0) -> int | None:
    """Stop the stack on this home; its pid, or None when none runs. Raises StackError if it stays."""
    pid = Home(settings.home).holder()
    if pid is None:
        return None
    import select

    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        os.kill(pid, signal.SIGTERM)
        if not select.select([descriptor], [], [], timeout_s)[0]:
            raise StackError(f"the stack on {settings.home} (pid {pid}) did not stop within {timeout_s:g} s")
        os.close(descriptor)
    return pid


def claimed_port(wanted: int) -> tuple[int, socket.socket]:
    """`wanted` if nobody listens there and no other stack has chosen it, else any free port of the loopback; and the
    claim to it, which ends when it is closed. A program listens seconds after its port was chosen: without a claim two
    stacks that start together would choose the same one. Raises StackError when none is free.
    """
    for port in (wanted, 0):
        claim = socket.socket(socket.AF_UNIX)
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
                chosen = int(probe.getsockname()[1])
            claim.bind(f"\0celeriac-port-{chosen}")  # a name without a file: the kernel frees it with its process
        except OSError:
            claim.close()
        else:
            return chosen, claim
    raise StackError("no free port on 127.0.0.1 for Flower and the board")


def _has_web() -> bool:
    """Whether what the board needs is installed."""
    return find_spec("fastapi") is not None and find_spec("uvicorn") is not None
