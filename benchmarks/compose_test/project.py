"""One compose project on the engine: the commands that reach it, and what is printed on the way."""

import json
import subprocess
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
STUDY = "digits"
OURS = ("coordinator", "clock", "beat", "flower", "web", "worker-cpu")
ALWAYS = (*OURS, "postgres", "redis")
START_S, STOP_S = 240.0, 150.0
#: In Postgres' container, as the owner, by its socket.
PSQL = ("psql", "-h", "/var/run/postgresql", "-U", "celeriac", "-d", "celeriac", "-v", "ON_ERROR_STOP=1", "-qAt")


class Failed(Exception):
    """Something that must hold did not."""


def demand(held: bool, what: str) -> None:
    """Raise Failed, saying what was demanded, unless it held."""
    if not held:
        raise Failed(what)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print what is done and how long it took."""
    print(f"{name} …", flush=True)
    began = time.monotonic()
    yield
    print(f"    {time.monotonic() - began:6.1f} s", flush=True)


@dataclass
class Project:
    """One compose project: its name, its .env, and the commands that reach it."""

    name: str
    folder: Path
    compose: Sequence[str]
    environ: Mapping[str, str]
    dotenv: dict[str, str] = field(default_factory=dict)

    def up(self, *words: str, timeout_s: float = START_S) -> str:
        """Any compose command but those that only read; what it printed."""
        base = [
            *self.compose,
            *("-p", self.name, "--env-file", str(self.folder / ".env")),
            *("-f", str(ROOT / "docker-compose.yml")),
        ]
        return self._output([*base, *words], timeout_s)

    def docker(self, *words: str, timeout_s: float = 60.0, text: str | None = None) -> str:
        """A docker command's output."""
        return self._output(["docker", *words], timeout_s, text)

    def cli(self, *words: str) -> list[str]:
        """The command line of `celeriac` in a container of its own, beside the service."""
        base = [*self.compose, "-p", self.name, "--env-file", str(self.folder / ".env")]
        return [*base, "-f", str(ROOT / "docker-compose.yml"), "run", "--rm", "-T", "cli", *words]

    def asked(self, *words: str, codes: Collection[int] = (0,)) -> Any:
        """What `celeriac … --json` answers, with one of these exit codes."""
        return json.loads(self._output(self.cli(*words, "--json"), START_S, codes=codes))

    def ran(self, *words: str) -> str:
        """What `celeriac …` prints."""
        return self._output(self.cli(*words), START_S)

    def address(self, service: str) -> str:
        """A service's address in the project's network."""
        (network,) = self.inspected(service)["NetworkSettings"]["Networks"].values()
        return str(network["IPAddress"])

    def sql(self, query: str) -> list[list[str]]:
        """What Postgres answers its owner: rows of texts."""
        said = self.docker("exec", self.container("postgres"), *PSQL, "-c", query)
        return [line.split("|") for line in said.splitlines()]

    def logs(self, service: str) -> str:
        """All that a service's container has printed."""
        return self._output(["docker", "logs", self.container(service)], 60.0, with_errors=True)

    def container(self, service: str) -> str:
        """The id of a service's container."""
        found = self.docker(
            "ps", "-aq", *self._mine(), "--filter", f"label=com.docker.compose.service={service}"
        ).split()
        demand(len(found) == 1, f"{service} has one container, not {len(found)}")
        return found[0]

    def inspected(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container."""
        found: dict[str, Any] = json.loads(self.docker("inspect", self.container(service)))[0]
        return found

    def containers(self) -> list[str]:
        """Ids of all containers of this project."""
        return self.docker("ps", "-aq", *self._mine()).split()

    def left_over(self) -> list[str]:
        """What the engine still has of this project."""
        volumes = self.docker("volume", "ls", "-q", *self._mine()).split()
        networks = self.docker("network", "ls", "-q", *self._mine()).split()
        return [*self.containers(), *volumes, *networks]

    def events(self, *filters: str) -> list[str]:
        """The command line that follows this project's container events."""
        named = [word for each in filters for word in ("--filter", each)]
        shown = '{{index .Actor.Attributes "com.docker.compose.service"}} {{.Action}}'
        since = ["--since", str(int(time.time()))]  # so that none is missed before the engine listens to us
        return ["docker", "events", *since, "--filter", "type=container", *named, *self._mine(), "--format", shown]

    def follow(self, command: Sequence[str], timeout_s: float) -> "Followed":
        """Start a command whose lines are awaited."""
        return Followed(command, self.environ, timeout_s)

    def _mine(self) -> list[str]:
        return ["--filter", f"label=com.docker.compose.project={self.name}"]

    def _output(
        self,
        command: Sequence[str],
        timeout_s: float,
        text: str | None = None,
        *,
        codes: Collection[int] = (0,),
        with_errors: bool = False,
    ) -> str:
        try:
            done = subprocess.run(
                command,
                env=self.environ,
                input=text,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if with_errors else subprocess.PIPE,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{' '.join(command)} did not end within {timeout_s:g} s") from error
        if done.returncode not in codes:
            said = "\n".join((done.stdout + (done.stderr or "")).splitlines()[-40:])
            raise Failed(f"{' '.join(command)} ended with {done.returncode}:\n{said}")
        return done.stdout


class Followed:
    """A running command, read line by line until its time is over; use it as a context manager."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], timeout_s: float) -> None:
        self._process = subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True
        )
        self._timer = threading.Timer(timeout_s, self._process.kill)
        self._timer.start()

    def __enter__(self) -> "Followed":
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._process.kill()
        self._process.communicate()

    def lines(self) -> Iterator[str]:
        """Its lines as they come; ends with it, or with its time."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            yield line.rstrip("\n")

    def ended(self) -> int:
        """Its exit code."""
        return self._process.wait()
