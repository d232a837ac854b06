"""Find the engine, write the project's .env, build, and start."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence

from benchmarks.compose_test.project import ALWAYS, ROOT, START_S, STUDY, Failed, Followed, Project, demand, step

TRIALS = 32
SLOTS = 2
#: Above what the coordinator is cut off for: it is to come back by itself from that.
RESTART_S = 90
BUILD_S = 1200.0


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
    """The .env as `celeriac init` writes it, with free ports and CPU workers; and the code: digits, a small budget."""
    project._output([sys.executable, "-m", "celeriac.cli", "init", "--directory", str(project.folder)], 30)
    env = project.folder / ".env"
    demand(env.stat().st_mode & 0o777 == 0o600, f"{env} is readable by its owner alone")
    code = project.folder / "code" / STUDY
    shutil.copytree(ROOT / "examples" / "digits", code, ignore=shutil.ignore_patterns("__pycache__"))
    program, seeded = code / "train.py", "torch.manual_seed(trial.seed)"
    demand(seeded in program.read_text(), "the example's objective seeds torch")
    program.write_text(program.read_text().replace(seeded, f'{seeded}; print("trial", trial.number)'))
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
        "CELERIAC_RESTART_S": str(RESTART_S),
        "COMPOSE_PROFILES": "cpu",
        **{
            name: str(port)
            for name, port in zip(
                ("POSTGRES_PORT", "REDIS_PORT", "FLOWER_PORT", "WEB_PORT"), free_ports(4), strict=True
            )
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
