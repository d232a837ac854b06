"""A host that vanishes from the network, for real: a network of its own, whose cable is pulled. Its session holds a
study's lock.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import psycopg
import pytest

from celeriac.local import postgres as stack_postgres
from celeriac.local.postgres import Postgres
from tests.servers import free_port

pytestmark = pytest.mark.slow

WITHIN_S = 20.0  # the server's default would be two hours
HOLD = """
import sys
from celeriac.store.connection import Database, sql

database = Database(sys.argv[1], pool_size=1)
with database.dedicated(sql("SELECT pg_advisory_lock(7)")):
    print("held", flush=True)
    sys.stdin.read()
"""
HELD = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"


class Cable:
    """A second network on this machine and the cable to it; `here` is our end's address."""

    def __init__(self) -> None:
        number = os.getpid() % 16_000
        self._end, self._far_end = f"cel{number}a", f"cel{number}b"
        network = f"10.{200 + number // 4_000}.{number % 4_000 // 64}"
        host = number % 64 * 4
        self.here, self._there = f"{network}.{host + 1}", f"{network}.{host + 2}"
        self._network = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE)

    def lay(self) -> None:
        """Connect the two. Raises CalledProcessError where this user, or this machine, may not."""
        sleep(0.3)  # until `unshare` has made it
        self._ip("link", "add", self._end, "type", "veth", "peer", "name", self._far_end)
        self._ip("link", "set", self._far_end, "netns", str(self._network.pid))
        self._ip("addr", "add", f"{self.here}/30", "dev", self._end)
        self._ip("link", "set", self._end, "up")
        for words in (("addr", "add", f"{self._there}/30", "dev", self._far_end), ("link", "set", self._far_end, "up")):
            subprocess.run([*self.there(), "ip", *words], check=True, capture_output=True)

    def there(self) -> list[str]:
        """What runs a program in the other network."""
        return ["nsenter", "-t", str(self._network.pid), "-n"]

    def pull(self) -> None:
        """From now on nothing comes through, and nobody is told."""
        self._ip("link", "set", self._end, "down")

    def close(self) -> None:
        """Take it away."""
        subprocess.run(["ip", "link", "del", self._end], check=False, capture_output=True)
        self._network.communicate()

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def cable() -> Iterator[Cable]:
    if not (shutil.which("ip") and shutil.which("unshare") and shutil.which("nsenter")):
        pytest.skip("needs ip, unshare and nsenter")
    made = Cable()
    try:
        made.lay()
    except subprocess.CalledProcessError as error:
        made.close()
        pytest.skip(f"this user may make no networks: {error.stderr.decode().strip()}")
    yield made
    made.close()


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> str:
    """The server of this test listens there, on TCP too."""
    port = str(free_port())
    listening = {**stack_postgres._SETTINGS, "listen_addresses": "*", "port": port}
    monkeypatch.setattr(stack_postgres, "_SETTINGS", listening)
    monkeypatch.setattr(stack_postgres, "_SOCKET", f".s.PGSQL.{port}")
    return port


@pytest.fixture
def server(port: str) -> Iterator[Postgres]:
    home = Path(tempfile.mkdtemp(prefix="cel-", dir="/tmp"))
    postgres = Postgres(home / "postgres", home / "run", durable=False)
    postgres.init()
    with (home / "postgres" / "pg_hba.conf").open("a") as file:
        file.write("\nhost all all 10.0.0.0/8 trust\n")
    os.close(postgres.child.start())
    postgres.child.wait_ready()
    yield postgres
    postgres.child.stop(20.0)
    shutil.rmtree(home)


@pytest.mark.timeout(120)
def test_a_vanished_hosts_lock_is_free_within_seconds(cable: Cable, server: Postgres, port: str) -> None:
    url = f"postgresql+psycopg://celeriac@{cable.here}:{port}/celeriac"
    holder = subprocess.Popen(
        [*cable.there(), sys.executable, "-c", HOLD, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    local = f"postgresql://celeriac@/celeriac?host={server.socket_dir}&port={port}"
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with psycopg.connect(local, autocommit=True) as watcher:

            def held() -> int:
                row = watcher.execute(HELD).fetchone()
                assert row is not None
                return int(row[0])

            assert held() == 1
            cable.pull()
            pulled_at = monotonic()
            while held():
                assert monotonic() - pulled_at < WITHIN_S, "the vanished host still holds its lock"
                sleep(0.1)
    finally:
        holder.kill()
        holder.communicate()
