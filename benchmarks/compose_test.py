"""The compose file as its users run it: built, started, used, struck, and taken down again. `make compose-test`.

The real docker-compose.yml on whatever engine DOCKER_HOST names, in a project of its own, with the .env that `celeriac
init` writes, CPU workers, and free ports. A study is handed in; its worker is stopped once in order (its trials are
handed back) and killed once with its container, the coordinator's program is killed too, and the study still ends with
exactly its budget of finished trials. On the
way: every health check is green, nothing is published beyond loopback, no program runs as root, no password stands in
an argument list, Flower, Redis and Postgres refuse whom they must. What was started is removed, volumes included;
images stay as the engine's cache.

The engine must be on this machine: it mounts a directory with code. Exit codes: 0 all held, 1 something did not, 2 no
engine.
"""

import base64
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TRIALS = 16
SLOTS = 2
STUDY = "digits"
OURS = ("coordinator", "clock", "beat", "flower", "worker-cpu")
ALWAYS = (*OURS, "postgres", "redis")
BUILD_S, START_S, STUDY_S, STOP_S = 1200.0, 240.0, 300.0, 150.0


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

    def asked(self, *words: str) -> Any:
        """What `celeriac … --json` answers."""
        return json.loads(self._output(self.cli(*words, "--json"), START_S))

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

    def _output(self, command: Sequence[str], timeout_s: float, text: str | None = None) -> str:
        try:
            done = subprocess.run(
                command, env=self.environ, input=text, capture_output=True, text=True, timeout=timeout_s, check=True
            )
        except subprocess.CalledProcessError as error:
            said = "\n".join((error.stdout + error.stderr).splitlines()[-40:])
            raise Failed(f"{' '.join(command)} ended with {error.returncode}:\n{said}") from error
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{' '.join(command)} did not end within {timeout_s:g} s") from error
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


# -- start
# ----------------------------------------------------------------------------------------------------------------
def engine(environ: Mapping[str, str]) -> Sequence[str] | None:
    """The compose command of the engine that answers; None, with the reason on stderr, when there is none."""
    where = environ.get("DOCKER_HOST", "its default socket")
    if shutil.which("docker") is None or _says(["docker", "info"], environ) is None:
        print(
            f"compose-test: no Docker engine answers at {where}: start one, or name one by DOCKER_HOST", file=sys.stderr
        )
        return None
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and (version := _says([*command, "version", "--short"], environ)):
            print(f"engine at {where}, {' '.join(command)} {version.strip()}")
            return command
    print("compose-test: neither `docker compose` nor `docker-compose` is installed", file=sys.stderr)
    return None


def _says(command: Sequence[str], environ: Mapping[str, str]) -> str | None:
    try:
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def clean_environment() -> dict[str, str]:
    """Ours without what would override the .env file of the test."""
    ours = re.compile("CELERIAC_|POSTGRES_|REDIS_|FLOWER_|COMPOSE_(?!DOCKER_CLI_BUILD)")
    return {name: value for name, value in os.environ.items() if not ours.match(name)}


def prepare(project: Project) -> None:
    """The .env as `celeriac init` writes it, with free ports and CPU workers; and the code: digits with a small
    budget.
    """
    project._output([sys.executable, "-m", "celeriac.cli", "init", "--directory", str(project.folder)], 30)
    env = project.folder / ".env"
    demand(env.stat().st_mode & 0o777 == 0o600, f"{env} is readable by its owner alone")
    code = project.folder / "code" / STUDY
    shutil.copytree(ROOT / "examples" / "digits", code, ignore=shutil.ignore_patterns("__pycache__"))
    study = code / "study.yaml"
    text, count = re.subn(r"budget: \{trials: \d+\}", f"budget: {{trials: {TRIALS}}}", study.read_text())
    demand(count == 1, "the example's study file has a budget of trials")
    study.write_text(text)
    written = dict(line.split("=", 1) for line in env.read_text().splitlines() if line and not line.startswith("#"))
    changed = {
        "CELERIAC_CODE": str(code.parent),
        "CELERIAC_SLOTS": str(SLOTS),
        "CELERIAC_HOST": "compose-test",
        "CELERIAC_VERSION": "compose-test",
        "COMPOSE_PROFILES": "cpu",
        **{
            name: str(port)
            for name, port in zip(("POSTGRES_PORT", "REDIS_PORT", "FLOWER_PORT"), free_ports(3), strict=True)
        },
    }
    project.dotenv.update(written | changed)
    env.write_text("".join(f"{name}={value}\n" for name, value in project.dotenv.items()))


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start(project: Project) -> None:
    """Build, start, and wait until every health check is green."""
    with step("build the images"):
        project.up("build", timeout_s=BUILD_S)
    green = step(f"start; every health check green: {', '.join(ALWAYS)}")
    with green, project.follow(project.events("event=health_status"), START_S) as events:
        project.up("up", "-d")
        await_healthy(events, set(ALWAYS))
    finished = project.inspected("migrate")["State"]
    demand(finished["Status"] == "exited" and finished["ExitCode"] == 0, "migrate is done")


def await_healthy(events: Followed, awaited: set[str]) -> None:
    """Wait until each of these services was reported healthy."""
    missing = set(awaited)
    for line in events.lines():
        service, _, status = line.partition(" ")
        if status == "health_status: healthy":
            missing.discard(service)
        if not missing:
            return
    raise Failed(f"healthy in time: {', '.join(sorted(missing))}")


# -- what must hold while it runs
# -------------------------------------------------------------------------------------------
def check_containers(project: Project) -> None:
    """Ports on loopback only; no program as root; no password in an argument list; restarts and init as the file
    says.
    """
    passwords = [value for name, value in project.dotenv.items() if name.endswith("PASSWORD")]
    demand(len(passwords) == 5, "init wrote five passwords")
    for service in ALWAYS:
        found = project.inspected(service)
        ports = [each for bound in (found["NetworkSettings"]["Ports"] or {}).values() for each in bound or []]
        beyond = [each for each in ports if each["HostIp"] not in ("127.0.0.1", "::1")]
        demand(not beyond, f"{service} publishes nothing beyond loopback: {beyond}")
        demand(found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped", f"{service} restarts")
        demand(bool(found["HostConfig"]["Init"]), f"{service} has an init")
        rows = project.docker("top", project.container(service), "-eo", "pid,uid,args").splitlines()[1:]
        programs = [row.split(maxsplit=2)[1:] for row in rows if "docker-init" not in row]
        roots = [args for uid, args in programs if uid == "0"]
        demand(not roots, f"{service} runs nothing as root: {roots}")
        demand(
            not any(word in row for row in rows for word in passwords), f"{service} shows no password in its arguments"
        )


def check_flower(project: Project) -> None:
    """Every published path wants the login, the two open ones too, which answer inside the container alone; it only
    shows.
    """
    base = f"http://127.0.0.1:{project.dotenv['FLOWER_PORT']}"
    login = f"{project.dotenv['FLOWER_USER']}:{project.dotenv['FLOWER_PASSWORD']}"
    paths = (
        "/",
        "/tasks",
        "/workers",
        "/api/workers",
        "/api/tasks",
        "/static/css/flower.css",
        "/login",
        "/nowhere",
        "/metrics",
        "/healthcheck",
    )
    for path in paths:
        demand(http(base + path) == 401, f"Flower answers 401 to {path} without the login, not {http(base + path)}")
        demand(http(base + path, "celeriac:wrong") == 401, f"Flower answers 401 to {path} with a wrong password")
    for path in ("/", "/tasks", "/api/workers"):
        demand(
            http(base + path, login) == 200,
            f"Flower answers 200 to {path} with the login, not {http(base + path, login)}",
        )
    revoked = http(f"{base}/api/task/revoke/any", login, method="POST")
    demand(revoked in (403, 405), f"Flower is read-only: a revoke answers {revoked}")
    inside = (
        "import urllib.request as u; [u.urlopen('http://127.0.0.1:5555' + p) for p in ('/healthcheck', '/metrics')]"
    )
    project.docker("exec", project.container("flower"), "python", "-c", inside)


def http(url: str, login: str = "", method: str = "GET") -> int:
    """The status that a request gets."""
    request = urllib.request.Request(url, method=method)
    if login:
        request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def check_redis(project: Project) -> None:
    """Nothing without the password; with it, nothing that tickets never need."""
    redis = project.container("redis")
    bare = project.docker("exec", "-e", "REDISCLI_AUTH=", redis, "redis-cli", "ping")
    demand("NOAUTH" in bare, f"Redis refuses who has no password: {bare}")
    for command in ("flushall", "config get requirepass", "keys *", "shutdown", "acl list"):
        said = project.docker("exec", redis, "redis-cli", *command.split())
        demand("NOPERM" in said, f"Redis refuses `{command}`: {said}")
    info = project.docker("exec", redis, "redis-cli", "info")
    demand(
        "aof_enabled:1" in info and "maxmemory_policy:noeviction" in info,
        "Redis appends to its file and evicts nothing",
    )


_TRY = """
import json, sys, psycopg
from celeriac.runtime.settings import Settings
url = Settings.from_env().database_url.replace("+psycopg", "")
said = {}
for statement in json.load(sys.stdin):
    with psycopg.connect(url) as connection:
        try:
            connection.execute(statement)
            said[statement] = "done"
        except psycopg.errors.InsufficientPrivilege:
            said[statement] = "refused"
        connection.rollback()
try:
    psycopg.connect(url, password="wrong").close()
    said["a wrong password"] = "done"
except psycopg.OperationalError:
    said["a wrong password"] = "refused"
print(json.dumps(said))
"""
_NOBODY_MAY = (
    "DROP TABLE trial",
    "CREATE TABLE mine (x int)",
    "CREATE ROLE mine",
    "COPY study TO PROGRAM 'cat'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT rolpassword FROM pg_authid",
)
_NO_WORKER_MAY = (
    "DELETE FROM study",
    "INSERT INTO study (name, spec, goal) VALUES ('mine', '{}', 'maximize')",
    "DELETE FROM trial",
    "TRUNCATE champion",
    "DELETE FROM champion",
    "DELETE FROM schedule",
    "UPDATE schedule SET cron = '* * * * *'",
)


def check_postgres(project: Project) -> None:
    """Each role may do its work and no more; the worker's least."""
    for service, forbidden in (("coordinator", _NOBODY_MAY), ("worker-cpu", (*_NOBODY_MAY, *_NO_WORKER_MAY))):
        asked = json.dumps(["SELECT count(*) FROM study", *forbidden])
        said = json.loads(project.docker("exec", "-i", project.container(service), "python", "-c", _TRY, text=asked))
        demand(said.pop("SELECT count(*) FROM study") == "done", f"the {service}'s role reads studies")
        allowed = [statement for statement, answer in said.items() if answer != "refused"]
        demand(not allowed, f"the {service}'s role is refused: {allowed}")


# -- a study, struck
# --------------------------------------------------------------------------------------------------------
def strike(project: Project) -> None:
    """A study from submit to champion, while its worker is stopped in order, then killed, and the coordinator is
    killed.
    """
    with step(f"submit {STUDY}: {TRIALS} trials on {SLOTS} slots"):
        project._output(project.cli("submit", f"/code/{STUDY}/study.yaml"), START_S)
    blows = [
        (TRIALS // 4, "stop the worker in order", stop_in_order),
        (TRIALS // 2, "kill the worker's container", kill_worker),
        (TRIALS * 3 // 4, "kill the coordinator's program", kill_coordinator),
    ]
    with step("wait for its champion"), project.follow(project.cli("watch", STUDY), STUDY_S) as watched:
        for line in watched.lines():
            print(f"    {line}", flush=True)
            finished = re.search(rf"{STUDY} RUNNING: (\d+)/{TRIALS} finished", line)
            while finished and blows and int(finished[1]) >= blows[0][0]:
                _, name, blow = blows.pop(0)
                with step(f"    {name}"):
                    blow(project)
        code = watched.ended()
    demand(code == 0, f"`celeriac watch` ends with the champion, not with exit code {code}")
    demand(not blows, f"the study still ran when it was to be struck: {[name for _, name, _ in blows]}")


def stop_in_order(project: Project) -> None:
    """What a drained host does: TERM, the trials are handed back within the grace, the worker comes back later."""
    project.up("stop", "worker-cpu", timeout_s=STOP_S)
    state = project.inspected("worker-cpu")["State"]
    demand(state["ExitCode"] == 0, f"a worker that is stopped in order ends with 0, not {state['ExitCode']}")
    project.up("start", "worker-cpu")


def kill_worker(project: Project) -> None:
    """What a power cut does to a worker's host, until somebody switches it on again."""
    project.docker("kill", "-s", "KILL", project.container("worker-cpu"))
    project.up("up", "-d", "--no-deps", "worker-cpu")


def kill_coordinator(project: Project) -> None:
    """Its main program dies; the engine starts the container again by itself."""
    with project.follow(project.events("event=start"), START_S) as events:
        killing = "import os, psutil; psutil.Process(1).children()[0].kill()"
        project.docker("exec", "-d", project.container("coordinator"), "python", "-c", killing)
        demand("coordinator start" in events.lines(), "the coordinator's container is started again by the engine")


def judge(project: Project) -> None:
    """Exactly the budget finished, none scored twice, the interrupted ones run again; the champion is the best of
    them.
    """
    trials = project.asked("trials", STUDY, "--limit", "0")
    finished = [each for each in trials if each["state"] in ("SCORED", "PRUNED", "FAILED")]
    demand(
        len(finished) == TRIALS == len(trials),
        f"exactly {TRIALS} trials finished, not {len(finished)} of {len(trials)}",
    )
    scored = [sum(run["outcome"] == "scored" for run in each["runs"]) for each in trials]
    demand(max(scored) == 1, "no trial was scored twice")
    released = [each["number"] for each in trials for run in each["runs"] if run["outcome"] == "released"]
    # Often the very trials that were handed back before: their attempts tell the two apart.
    lost = [each for each in trials if any(run["fault"] == "infrastructure" for run in each["runs"])]
    again = [each["number"] for each in lost]
    demand(bool(released), "trials of the stopped worker were handed back")
    demand(bool(lost), "attempts of the killed worker ended as lost to the infrastructure")
    states = {each["number"]: each["state"] for each in lost}
    demand(set(states.values()) == {"SCORED"}, f"their trials ran again and came through: {states}")
    best = project.asked("best", STUDY)
    demand(
        best["score"] == max(each["score"] for each in trials if each["score"] is not None),
        "the champion is the best trial",
    )
    print(
        f"    {len(finished)} finished; handed back {released}, run again {again}; best {best['score']:.4f} (trial"
        f" {best['number']})"
    )


def explain(project: Project) -> None:
    """The service's image can draw a study and say what mattered in it."""
    drawn = project.asked("plot", STUDY, "--out", "/tmp/plots")
    kinds = {Path(each).stem for each in drawn["files"] if each.endswith(".png")}
    demand({"history", "importance"} <= kinds, f"pictures are drawn: {sorted(kinds)}")
    shares = {each["name"]: each["share"] for each in project.asked("importance", STUDY)["parameters"]}
    demand(bool(shares), "the parameters' importances are told")
    print(f"    drawn: {', '.join(sorted(kinds))}; mattered most: {max(shares, key=lambda name: shares[name])}")


# -- the end
# ----------------------------------------------------------------------------------------------------------------
def tear_down(project: Project) -> None:
    """Stop and remove all, and see that nothing is left."""
    with step("stop all and remove it with its volumes"):
        project.up("down", "--volumes", "--remove-orphans", timeout_s=STOP_S)
        left = project.left_over()
    demand(not left, f"nothing is left of the project: {left}")


def tell_why(project: Project) -> None:
    """The states and last lines of all containers, for whoever has to find out."""
    for each in project.containers():
        print(project.docker("ps", "-a", "--filter", f"id={each}", "--format", "{{.Names}}: {{.Status}}"), end="")
        subprocess.run(
            ["docker", "logs", "--tail", "30", each], env=project.environ, stderr=subprocess.STDOUT, check=False
        )


def run(project: Project) -> None:
    """The whole test. Raises Failed."""
    with step("celeriac init"):
        prepare(project)
    try:
        start(project)
        with step("loopback, users, arguments, restarts"):
            check_containers(project)
        with step("logins of Flower, Redis and Postgres"):
            check_flower(project)
            check_redis(project)
            check_postgres(project)
        strike(project)
        with step("the verdict"):
            judge(project)
        with step("pictures"):
            explain(project)
    except BaseException:
        tell_why(project)
        raise
    finally:
        tear_down(project)


def main() -> int:
    """Run on the engine that answers; the exit code."""
    environ = clean_environment()
    compose = engine(environ)
    if compose is None:
        return 2
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="celeriac-compose-") as folder:
        project = Project(f"celeriac-test-{secrets.token_hex(4)}", Path(folder), compose, environ)
        try:
            run(project)
        except Failed as error:
            print(f"compose-test: FAILED, this must hold: {error}", file=sys.stderr)
            return 1
    print(f"compose-test: all held, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
