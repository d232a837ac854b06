"""Redis' logins as docker-compose.yml makes them: each program can do its work, and none can do another's."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import NoPermissionError, ResponseError
from ruamel.yaml import YAML

from celeriac.domain.errors import BrokerUnavailable
from celeriac.domain.messages import DriveStudy, RunTrial, TrialEnded
from celeriac.local.redis import Redis
from celeriac.runtime.broker import CPU_QUEUE, DRIVE_QUEUE, GPU_QUEUE, BrokerConfig, Tickets, make_app

pytestmark = pytest.mark.stack

LOGINS = ("coordinator", "worker", "flower", "command")
PROGRAM = """
import sys
from celeriac.runtime.broker import BrokerConfig, drop_malformed, make_app, stop_promptly
name, url, queue = sys.argv[1:]
app = make_app(BrokerConfig(url, name))
app.conf.broker_transport_options.update(polling_interval=3600, socket_timeout=None)
stop_promptly(app)
drop_malformed(app)
app.worker_main(["--quiet", "worker", "-Q", queue, "-n", name, "--without-gossip", "--without-mingle"])
"""


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Redis of its own with the logins that the container's command writes; asked by one that may do all."""
    place = tmp_path_factory.mktemp("r")
    compose = YAML(typ="safe").load((Path(__file__).parents[3] / "docker-compose.yml").read_text())
    script = compose["services"]["redis"]["command"][-1].replace("$$", "$").partition("exec redis-server")[0]
    words = {"REDISCLI_AUTH": "command", **{f"REDIS_{each.upper()}_PASSWORD": each for each in LOGINS[:3]}}
    subprocess.run(["sh", "-ec", script.replace("/tmp", str(place))], env=os.environ | words, check=True)
    assert (place / "users.acl").stat().st_mode & 0o777 == 0o600
    first, *users = (place / "users.acl").read_text().splitlines()
    assert first == "user default off"
    server = Redis(place / "redis", place / "run")
    os.close(server.child.start())
    try:
        server.child.wait_ready()
        with redis.Redis(unix_socket_path=str(server.socket)) as connection:
            for line in users:
                connection.execute_command("ACL", "SETUSER", *line.split()[1:])
            yield connection
    finally:
        server.child.stop(20.0)


def url_of(admin: Any, login: str) -> str:
    return f"redis+socket://{login}:{login}@{admin.connection_pool.connection_kwargs['path']}"


def tickets_of(admin: Any, login: str) -> Tickets:
    return Tickets(make_app(BrokerConfig(url_of(admin, login), login)))


def client_of(admin: Any, login: str) -> redis.Redis:
    path = admin.connection_pool.connection_kwargs["path"]
    return redis.Redis(unix_socket_path=path, username=login, password=login)


def test_the_programs_do_their_work_and_nothing_is_denied(admin: Any) -> None:
    programs = (("drive@hub", "coordinator", DRIVE_QUEUE), ("cpu0.s0@host", "worker", CPU_QUEUE))
    admin.execute_command("ACL", "LOG", "RESET")
    with ExitStack() as stack:
        running = []
        for name, login, queue in programs:
            command = [sys.executable, "-c", PROGRAM, name, url_of(admin, login), queue]
            running.append(stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL)))
            stack.callback(running[-1].kill)
        deadline = time.monotonic() + 60
        for login in ("command", "flower"):
            with make_app(BrokerConfig(url_of(admin, login), login)) as app:
                answered: set[str] = set()
                while answered != {name for name, *_ in programs}:
                    assert time.monotonic() < deadline, answered
                    answered |= {name for reply in app.control.ping(timeout=1.0) or [] for name in reply}
        waits = {(each["name"], each["cmd"]) for each in admin.client_list()}
        assert {(name, "brpop") for name, *_ in programs} <= waits
        for program in running:
            program.terminate()
        assert [program.wait(60) for program in running] == [0, 0]  # the pop alone would take an hour
    tickets_of(admin, "coordinator").send(RunTrial(1, 0, 1), queue=GPU_QUEUE, summary="a trial")
    tickets_of(admin, "worker").send(TrialEnded(1, 0, 1), queue=DRIVE_QUEUE, summary="its end")
    tickets_of(admin, "command").send(DriveStudy(1), queue=DRIVE_QUEUE, summary="a user's word")
    for login in LOGINS:
        assert (tickets_of(admin, login).waiting(GPU_QUEUE), tickets_of(admin, login).waiting(DRIVE_QUEUE)) == (1, 2)
    assert admin.execute_command("ACL", "LOG") == []


@pytest.mark.parametrize("login", ["worker", "flower", "command"])
def test_only_the_coordinator_sends_tickets_of_trials(admin: Any, login: str) -> None:
    with pytest.raises(BrokerUnavailable, match="refuses the login"):
        tickets_of(admin, login).send(RunTrial(1, 0, 1), queue=CPU_QUEUE, summary="forged")


@pytest.mark.parametrize("login", ["coordinator", "worker"])
def test_programs_cannot_send_remote_control(admin: Any, login: str) -> None:
    app: Any = make_app(BrokerConfig(url_of(admin, login), login))
    with app, pytest.raises(Exception, match="No permissions"):
        app.control.revoke("digits-0-1", terminate=True)


@pytest.mark.parametrize("login", LOGINS)
def test_no_login_takes_what_is_not_its_own(admin: Any, login: str) -> None:
    refused = [("FLUSHALL",), ("KEYS", "*"), ("CONFIG", "GET", "*"), ("SHUTDOWN",), ("EVAL", "return 1", "0")]
    refused += [
        ("SCRIPT", "FLUSH"),
        ("MONITOR",),
        ("CLIENT", "KILL", "TYPE", "normal"),
        ("ACL", "LIST"),
        ("GET", "other"),
    ]
    if login != "coordinator":
        refused += [("RPOP", "celeriac:coordinator.drive"), ("LRANGE", "celeriac:trials.cpu", "0", "-1")]
        refused += [
            ("BRPOP", "celeriac:coordinator.drive", "1"),
            ("DEL", "celeriac:trials.cpu", "celeriac:coordinator.drive"),
        ]
    if login in ("flower", "command"):
        refused += [("BRPOP", "celeriac:trials.cpu", "1")]
    with client_of(admin, login) as client:
        for words in refused:
            with pytest.raises((NoPermissionError, ResponseError), match=r"(?i)no permissions"):
                client.execute_command(*words)
