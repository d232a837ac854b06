"""The compose file as its users run it: built, started, used, struck, and taken down again. `make compose-test`.

The real docker-compose.yml on whatever engine DOCKER_HOST names, in a project of its own, with the .env that
`celeriac init` writes, CPU workers, and free ports. A study is handed in. Then the coordinator is cut off from the
network for a minute in the middle of a turn, and what does its work is frozen while it goes on to answer pings; the
worker is stopped once in order (its trials are handed back) and killed once with its container, the coordinator's
program is killed too, and Postgres is stopped in order. The study still ends with exactly its budget of finished
trials. On the way: every health check is green, nothing is published beyond loopback, no program runs as root or can
write to its root, no password stands in an argument list, each program has its own login, and the web, Flower, Redis
and Postgres refuse whom and what they must. What was started is removed, volumes included; images stay as the engine's
cache.

The engine must be on this machine: it mounts a directory with code. Exit codes: 0 all held, 1 something did not, 2 no
engine.
"""

import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.compose_test.blows import judge, strike
from benchmarks.compose_test.checks import (
    check_containers,
    check_flower,
    check_postgres,
    check_prune,
    check_redis,
    check_web,
    explain,
)
from benchmarks.compose_test.project import STOP_S, Failed, Project, demand, step
from benchmarks.compose_test.start import clean_environment, engine, prepare, start


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
        with step("logins of the web, Flower, Redis and Postgres"):
            check_web(project)
            check_flower(project)
            check_redis(project)
            check_postgres(project)
        strike(project)
        with step("the verdict"):
            judge(project)
        with step("pictures"):
            explain(project)
        with step("prune"):
            check_prune(project)
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
