"""Flower behind our guard: nothing without the login but its health and figures, and those to this host only."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from celeriac.domain.errors import SettingInvalid
from celeriac.runtime.process.programs import Child
from celeriac.runtime.settings import Settings
from coordinator.flower import admits, is_loopback, login_of
from tests.servers import free_port

LOGIN = "ops:secret"


@pytest.fixture
def address(settings: Settings, tmp_path: Path) -> Iterator[str]:
    port, log = free_port(), tmp_path / "flower.log"
    environment = {
        **os.environ,
        "CELERIAC_DATABASE_URL": settings.database_url,
        "CELERIAC_BROKER_URL": settings.broker_url,
        "CELERIAC_FLOWER_PORT": str(port),
        "CELERIAC_FLOWER_USER": "ops",
        "CELERIAC_FLOWER_PASSWORD": "secret",
    }
    child = Child("flower", [sys.executable, "-m", "coordinator", "flower"], environment, log=log)
    os.close(child.start())
    try:
        deadline = time.monotonic() + 30
        while status(f"http://127.0.0.1:{port}/healthcheck") != 200:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        assert "Traceback" not in log.read_text()
        child.stop(10.0)
        assert child.poll() == 0, log.read_text()


def status(url: str, login: str = "", *, method: str = "GET") -> int:
    """The answer's status; 0 when nobody answers."""
    headers = {"Authorization": "Basic " + b64encode(login.encode()).decode()} if login else {}
    request = urllib.request.Request(url, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except urllib.error.URLError:
        return 0


def test_every_path_wants_the_login_but_two(address: str) -> None:
    paths = ["/", "/tasks", "/api/workers", "/api/tasks", "/static/css/flower.css", "/login", "/nowhere", "/broker"]
    assert {path: status(address + path) for path in paths} == dict.fromkeys(paths, 401)
    assert {path: status(address + path, "ops:wrong") for path in paths} == dict.fromkeys(paths, 401)
    assert [status(address + path) for path in ("/healthcheck", "/metrics")] == [200, 200]
    assert [status(address + path, LOGIN) for path in ("/", "/tasks", "/api/tasks")] == [200, 200, 200]
    assert status(address + "/nowhere", LOGIN) == 404
    # It only shows: pool growing, revoking and sending tasks are refused.
    assert status(address + "/api/task/revoke/1?terminate=true", LOGIN, method="POST") in (403, 405)
    assert status(address + "/api/task/send-task/celeriac.run_trial", LOGIN, method="POST") in (403, 405)


@pytest.mark.parametrize(
    ("path", "peer", "given", "passes"),
    [
        ("/metrics", "127.0.0.1", "", True),
        ("/healthcheck", "::1", "", True),
        ("/metrics", "172.17.0.1", "", False),
        ("/healthcheck", "172.17.0.1", "Basic wrong", False),
        ("/metrics", "172.17.0.1", "Basic right", True),
        ("/metrics/../tasks", "127.0.0.1", "", False),
        ("/tasks", "127.0.0.1", "", False),
    ],
)
def test_strangers_need_the_login_even_for_the_two_open_paths(path: str, peer: str, given: str, passes: bool) -> None:
    assert admits("Basic right", path, peer, given) is passes
    assert admits("", path, peer, given)


def test_without_a_login_it_listens_on_loopback_only(settings: Settings) -> None:
    assert login_of(settings) == ""
    with pytest.raises(SettingInvalid, match="CELERIAC_FLOWER_PASSWORD"):
        login_of(replace(settings, flower_address="0.0.0.0"))
    with pytest.raises(SettingInvalid, match="both"):
        login_of(replace(settings, flower_user="ops"))
    assert login_of(replace(settings, flower_address="0.0.0.0", flower_user="a", flower_password="b")) == "a:b"


def test_a_port_that_is_taken_is_named(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment = {**os.environ, "CELERIAC_BROKER_URL": settings.broker_url, "CELERIAC_FLOWER_PORT": str(port)}
        done = subprocess.run(
            [sys.executable, "-m", "coordinator", "flower"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert f"Flower cannot listen on 127.0.0.1:{port} (Address already in use)" in done.stderr
    assert "CELERIAC_FLOWER_PORT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("address", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("", False), (None, False)],
)
def test_what_is_loopback(address: str | None, loopback: bool) -> None:
    assert is_loopback(address) is loopback
