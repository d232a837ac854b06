"""The embedded Redis for real: on its socket only, gone with its starter, never kept from starting by its own files."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from celeriac.domain.errors import StackError
from celeriac.local.redis import Redis

pytestmark = pytest.mark.stack

STARTER = """
import sys
from pathlib import Path
from celeriac.local.redis import Redis
server = Redis(Path(sys.argv[1]), Path(sys.argv[2]))
server.child.start()
server.child.wait_ready()
print(server.child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    sockets = Path(tempfile.mkdtemp(prefix="cel-", dir="/tmp"))
    yield Redis(tmp_path / ("a-long-name-" * 10) / "redis", sockets)
    shutil.rmtree(sockets)


@contextmanager
def running(server: Redis) -> Iterator["redis.Redis"]:
    os.close(server.child.start())
    try:
        server.child.wait_ready()
        with redis.Redis.from_url(f"unix://{server.socket}") as client:
            yield client
    finally:
        server.child.stop(20.0)


def kill(server: Redis, client: "redis.Redis") -> None:
    """Kill -9, once all is on the disk: while the disk is busy, `everysec` answers before it has written."""
    assert client.waitaof(1, 0, 10_000)[0] == 1
    assert server.child.pid is not None
    os.kill(server.child.pid, signal.SIGKILL)
    assert server.child.wait(5)


def test_tickets_survive_a_stop_and_a_kill_9(server: Redis) -> None:
    with running(server) as client:
        client.rpush("queue", "one")
    assert server.child.poll() == 0, server.child.log_tail()
    with running(server) as client:
        client.rpush("queue", "two")
        kill(server, client)
    with running(server) as client:
        assert client.lrange("queue", 0, -1) == [b"one", b"two"]


def test_only_the_socket_listens_and_nothing_is_ever_evicted(server: Redis) -> None:
    with running(server) as client:
        assert psutil.Process(server.child.pid).net_connections(kind="inet") == []
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("append*")["appendonly"] == "yes"
        assert server.socket.stat().st_mode & 0o777 == 0o700


def test_a_file_cut_off_in_the_middle_loads_up_to_there(server: Redis) -> None:
    with running(server) as client:
        client.rpush("queue", "whole")
        client.rpush("queue", "cut off")
        kill(server, client)
    (appended,) = server.data_dir.glob("appendonlydir/*.incr.aof")
    os.truncate(appended, appended.stat().st_size - 5)
    with running(server) as client:
        assert client.lrange("queue", 0, -1) == [b"whole"]


@pytest.mark.parametrize("name", ["*.incr.aof", "*.manifest", "*.base.rdb"])
def test_a_file_that_cannot_be_read_is_set_aside(server: Redis, name: str) -> None:
    with running(server) as client:
        client.rpush("queue", "lost, and sent again by the reaper")
    (damaged,) = server.data_dir.glob(f"appendonlydir/{name}")
    damaged.write_bytes(b"nonsense\0\0\0\nnonsense")
    with running(server) as client:
        assert client.llen("queue") == 0
    assert len(list(server.data_dir.glob("appendonlydir.unreadable-*"))) == 1
    assert "cannot be read" in server.log.read_text()


def test_kill_9_of_the_starter_leaves_no_server(server: Redis) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, server.data_dir, server.runtime_dir],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with starter:
        assert starter.stdout is not None
        orphan = psutil.Process(int(starter.stdout.readline()))
        starter.kill()
    with running(server) as client:
        assert client.ping()
    assert psutil.wait_procs([orphan], timeout=10)[1] == []


def test_a_second_server_on_the_same_files_is_refused_by_name(server: Redis) -> None:
    with running(server) as client:
        with pytest.raises(StackError, match=rf"runs already in .* as pid {server.child.pid}"):
            Redis(server.data_dir, server.runtime_dir).child.start()
        assert client.ping(), "the first is none the worse"


def test_a_server_that_cannot_start_says_why(server: Redis) -> None:
    server.child.argv = [*server.child.argv, "--no-such-setting", "1"]
    os.close(server.child.start())
    with pytest.raises(StackError, match="no-such-setting"):
        server.child.wait_ready()
    server.child.stop(20.0)


def test_its_tag_can_be_found_while_it_runs(tmp_path: Path, server: Redis) -> None:
    tagged = Redis(server.data_dir, server.runtime_dir, environment={"CELERIAC_STACK": "some-tag"})
    with running(tagged):
        assert psutil.Process(tagged.child.pid).environ()["CELERIAC_STACK"] == "some-tag"
