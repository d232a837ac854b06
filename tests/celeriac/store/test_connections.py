"""Connections are few, given back, and some are kept for those who must always get in."""

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import psycopg
import pytest
from sqlalchemy.engine import make_url

from celeriac.cli.doctor import enough_connections
from celeriac.domain.errors import StoreUnavailable
from celeriac.local import postgres as stack_postgres
from celeriac.local.postgres import Postgres
from celeriac.store import open_store, pool
from celeriac.store.capacity import FOR_SUPERUSERS, ConnectionUse, connection_use, connections_needed, worker_limit
from celeriac.store.connection import Database, sql
from celeriac.store.migrate import migrate
from celeriac.store.roles import COORDINATOR, WORKER, grant_roles
from tests.servers import free_port

PID = sql("SELECT pg_backend_pid() AS pid")
MOST = 45


@pytest.fixture
def sessions(database: str) -> Iterator[Callable[[], int]]:
    """How many sessions the database has, but for the one that asks."""
    with psycopg.connect(database.replace("+psycopg", ""), autocommit=True) as watcher:

        def count() -> int:
            row = watcher.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
            assert row is not None
            return int(row[0])

        yield count


@pytest.fixture
def asking(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(pool, "IDLE_S", 0.3)
    made = Database(database, pool_size=2)
    yield made
    made.close()


def until(count: Callable[[], int], wanted: int) -> None:
    """Wait until there are so many: a backend takes a moment to leave."""
    deadline = monotonic() + 10
    while count() != wanted:
        assert monotonic() < deadline, f"{count()} sessions, not {wanted}"
        sleep(0.02)


def test_a_connection_is_opened_when_asked_for_and_closed_when_it_rests(
    asking: Database, sessions: Callable[[], int]
) -> None:
    before = sessions()
    for _ in range(2):
        assert asking.rows(PID)[0]["pid"] == asking.rows(PID)[0]["pid"]
        assert sessions() == before + 1
        until(sessions, before)


def test_a_second_one_is_there_only_while_two_ask_at_once(
    asking: Database, sessions: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sessions()
    first = asking.rows(PID)[0]["pid"]
    with asking.dedicated(PID) as (_, rows):
        assert rows[0]["pid"] == first
        assert asking.rows(PID)[0]["pid"] != first
        assert sessions() == before + 2
    used = threading.Event()
    stop = monotonic() + 1.0
    while monotonic() < stop:  # the one that is used stays, the other one rests
        asking.rows(PID)
        used.wait(0.05)
    until(sessions, before + 1)


def test_one_that_broke_leaves_its_place(asking: Database) -> None:
    for _ in range(4):  # more often than there are places
        pid = asking.rows(PID)[0]["pid"]
        asking.rows(sql("SELECT 1"))
        with psycopg.connect(
            asking._engine.url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
        ) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        assert asking.rows(PID)[0]["pid"] != pid


@pytest.fixture(scope="module")
def small() -> Iterator[Postgres]:
    """A server of our own with few connections, on a socket and on TCP."""
    home = Path(tempfile.mkdtemp(prefix="cel-", dir="/tmp"))
    port = str(free_port())
    with pytest.MonkeyPatch.context() as patch:
        tcp = {**stack_postgres._SETTINGS, "listen_addresses": "127.0.0.1", "port": port}
        patch.setattr(stack_postgres, "_SETTINGS", tcp)
        patch.setattr(stack_postgres, "_SOCKET", f".s.PGSQL.{port}")
        server = Postgres(home / "postgres", home / "run", durable=False, max_connections=MOST)
        server.init()
        os.close(server.child.start())
        server.child.wait_ready()
        (server.runtime_dir / "port").write_text(port)
        yield server
        server.child.stop(20.0)
    shutil.rmtree(home)


def url_of(server: Postgres, user: str = "celeriac") -> str:
    port = int((server.runtime_dir / "port").read_text())
    made = make_url(server.dsn).set(username=user, host="127.0.0.1", port=port, query={})
    return made.render_as_string(hide_password=False)


def test_with_all_that_workers_may_have_taken_a_coordinator_still_comes_up(small: Postgres) -> None:
    migrate(url_of(small))
    grant_roles(url_of(small), "of the coordinator", "of the worker")
    taken = []
    try:
        plain = url_of(small, WORKER).replace("+psycopg", "")
        for _ in range(worker_limit(MOST)):
            taken.append(psycopg.connect(plain))
        with pytest.raises(psycopg.OperationalError, match="too many connections"):
            psycopg.connect(plain)
        worker = open_store(url_of(small, WORKER))
        with pytest.raises(StoreUnavailable, match=r"no connection left .*celeriac doctor"):
            worker.now()
        worker.close()
        coordinator = open_store(url_of(small, COORDINATOR))
        coordinator.check_schema()
        with coordinator.driving(1) as mine:
            assert mine
            assert coordinator.studies() == []
        use = connection_use(url_of(small, COORDINATOR))
        coordinator.close()
        assert (use.most, use.of_workers) == (MOST, worker_limit(MOST))
        assert use.used > worker_limit(MOST)
    finally:
        for each in taken:
            each.close()


def test_a_session_over_the_network_is_given_up_by_the_server_within_seconds(small: Postgres) -> None:
    """What the server tells of its own side of the socket; left alone it waits two hours for a host that vanished."""
    database = Database(url_of(small), pool_size=1)
    show = {
        name: database.rows(sql(f"SHOW {name}"))[0][name]
        for name in ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count")
    }
    assert database.rows(sql("SHOW tcp_user_timeout"))[0]["tcp_user_timeout"] == "10000"
    database.close()
    idle, interval, count = (int(value) for value in show.values())
    assert 0 < idle + interval * count <= 15


@pytest.mark.parametrize(("slots", "hosts"), [(1, 1), (64, 1), (60, 11), (240, 30)])
def test_the_formula_gives_workers_all_that_they_need_and_the_service_its_share(slots: int, hosts: int) -> None:
    most = connections_needed(slots, hosts)
    assert worker_limit(most) >= 2 * slots
    assert most - FOR_SUPERUSERS - worker_limit(most) >= 20
    assert enough_connections(ConnectionUse(most, 1, worker_limit(most)), slots, hosts).verdict == "ok"
    assert enough_connections(ConnectionUse(most, 1, None), slots, hosts).verdict == "ok"


def test_doctor_says_the_number_and_the_next_step() -> None:
    few = enough_connections(ConnectionUse(100, 40, 67), 64, 1)
    assert few.verdict == "fail"
    assert f"CELERIAC_MAX_CONNECTIONS={connections_needed(64)}" in few.told
    role = enough_connections(ConnectionUse(200, 40, 67), 64, 1)
    assert role.verdict == "fail"
    assert "celeriac migrate" in role.told
