"""Postgres goes away, restarts, hangs or is in the way: one repeat where that is safe, else an error that says what to
do.
"""

import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import psutil
import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from celeriac.domain.errors import CeleriacError, SettingInvalid, StoreUnavailable, TryAgain
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import Counts, Lease, Refusal
from celeriac.store import Store, connection, open_store
from celeriac.store.connection import Database, Session, driver, fetch, open_engine, sql
from tests.celeriac.store.scenes import full_disk, leased, new_study, queued, running, scored, suggestion

KILL = sql(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <>"
    " pg_backend_pid()"
)


@pytest.fixture
def drop_connections(database: str) -> Iterator[Callable[[], None]]:
    """Ends every session of the database but its own."""
    engine = open_engine(database, pool_size=1)

    def drop() -> None:
        with engine.connect() as alone:
            fetch(driver(alone), KILL)

    yield drop
    engine.dispose()


@pytest.fixture
def raw(database: str, store: Store) -> Iterator[Database]:
    made = Database(database, pool_size=2)
    yield made
    made.close()


def test_a_dropped_connection_is_not_noticed(store: Store, drop_connections: Callable[[], None]) -> None:
    study = queued(store, 2)
    steps: list[Callable[[], object]] = [
        lambda: leased(store, study, 0),
        lambda: store.renew(store.attempts(study.id, 0)[0].token, 30),
        lambda: store.finish_attempt(store.attempts(study.id, 0)[0].token, scored(0.5)),
        lambda: store.snapshot(study.id),
        lambda: store.add_trials(study.id, store.study(study.id).turn, [suggestion()]),
        lambda: store.create_study(new_study()),
        lambda: store.cancel_trial(study.id, 1, "not wanted"),
        lambda: store.move_study(study.id, StudyEvent.STOP, "a person asked"),
    ]
    for step in steps:
        drop_connections()
        step()
    assert store.study(study.id).counts == Counts(scored=1, cancelled=2)
    assert len(store.studies()) == 2


def test_driving_starts_over_a_dropped_connection_and_ends_on_one(
    store: Store, drop_connections: Callable[[], None]
) -> None:
    study = running(store)
    drop_connections()
    with store.driving(study.id) as mine:
        assert mine
        drop_connections()
    with store.driving(study.id) as mine:
        assert mine


def test_driving_leaves_a_connection_for_the_turn(database: str, store: Store) -> None:
    study = running(store)
    small = open_store(database, pool_size=2)
    with small.driving(study.id) as mine:
        assert mine
        small.add_trials(study.id, study.turn, [suggestion()])
        assert small.snapshot(study.id).study.counts.waiting == 1
    small.close()
    with pytest.raises(SettingInvalid, match="CELERIAC_POOL_SIZE=1"):
        open_store(database, pool_size=1)


def test_a_lease_whose_answer_was_lost_is_found_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repeat after a broken connection runs the same statement with the same token."""
    study = queued(store, 2)
    monkeypatch.setattr(secrets, "token_hex", lambda size: "t" * 2 * size)
    first = store.lease(study.id, 0, 1, worker="w", device="cpu", lease_s=30)
    again = store.lease(study.id, 0, 1, worker="w", device="cpu", lease_s=30)
    assert isinstance(first, Lease)
    assert again == first
    monkeypatch.undo()
    assert isinstance(store.lease(study.id, 0, 1, worker="w", device="cpu", lease_s=30), Refusal)
    assert store.study(study.id).counts == Counts(queued=1, running=1)


def test_what_was_not_committed_is_done_once(raw: Database, drop_connections: Callable[[], None]) -> None:
    tries: list[int] = []

    def work(session: Session) -> int:
        tries.append(len(tries))
        made = fetch(
            session, sql("INSERT INTO study (name, spec, goal) VALUES (:n, '{}', 'maximize') RETURNING id"), n="x"
        )
        if len(tries) == 1:
            drop_connections()
            fetch(session, sql("SELECT 1"))
        return int(made[0]["id"])

    raw.transaction(work)
    assert tries == [0, 1]
    assert raw.rows(sql("SELECT count(*) AS made FROM study WHERE name = 'x'"))[0]["made"] == 1


def test_a_commit_whose_answer_was_lost_is_not_repeated(raw: Database, drop_connections: Callable[[], None]) -> None:
    tries: list[int] = []

    def work(session: Session) -> None:
        tries.append(len(tries))
        fetch(session, sql("SELECT 1"))
        drop_connections()

    with pytest.raises(StoreUnavailable, match="the call may be repeated"):
        raw.transaction(work)
    assert tries == [0]


def test_two_that_lock_crosswise_both_succeed(raw: Database) -> None:
    for name in ("a", "b"):
        raw.once(sql("INSERT INTO study (name, spec, goal) VALUES (:name, '{}', 'maximize')"), name=name)
    meet = threading.Barrier(2)
    touch = sql("UPDATE study SET turn = turn + 1 WHERE name = :name")
    errors: list[CeleriacError] = []

    def cross(names: str) -> None:
        tries: list[int] = []

        def work(session: Session) -> None:
            tries.append(1)
            fetch(session, touch, name=names[0])
            if len(tries) == 1:
                meet.wait(timeout=20)
            fetch(session, touch, name=names[1])

        try:
            raw.transaction(work)
        except TryAgain as error:
            errors.append(error)

    threads = [threading.Thread(target=cross, args=(names,)) for names in ("ab", "ba")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert {row["turn"] for row in raw.rows(sql("SELECT turn FROM study"))} == {2}


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    with socket.socket() as taken:  # bound and not listening: refused, and nobody else's
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        store = open_store(f"postgresql://someone:secret@127.0.0.1:{port}/celeriac")
        for ask in (store.now, store.check_schema, lambda: store.lease(1, 0, 1, worker="w", device="c", lease_s=1)):
            with pytest.raises(StoreUnavailable, match=f"Postgres at 127.0.0.1:{port}/celeriac") as caught:
                ask()
            assert "secret" not in str(caught.value)
        with pytest.raises(StoreUnavailable), store.driving(1):
            pytest.fail("nobody drives without a server")
        store.close()


def test_a_hung_server_is_noticed(database: str, store: Store, raw: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SILENCE_S", 0.5)
    pid = raw.rows(sql("SELECT pg_backend_pid() AS pid"))[0]["pid"]
    backend = psutil.Process(pid)
    backend.send_signal(signal.SIGSTOP)
    try:
        # The repeat gets a connection of its own, which the postmaster, still awake, gives it.
        assert raw.rows(sql("SELECT 1 AS one"))[0]["one"] == 1
    finally:
        backend.send_signal(signal.SIGCONT)


def test_a_statement_that_takes_too_long_is_ended(raw: Database) -> None:
    raw.rows(sql("SET statement_timeout = '50ms'"))
    with pytest.raises(StoreUnavailable, match="statement timeout"):
        raw.rows(sql("SELECT pg_sleep(20)"))


def test_a_full_pool_says_which_setting_to_raise(raw: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LOCK_S", 0.1)
    small = Database(raw._engine.url.render_as_string(hide_password=False), pool_size=2)
    one = sql("SELECT 1")
    with small.dedicated(one), small.dedicated(one), pytest.raises(StoreUnavailable, match="CELERIAC_POOL_SIZE"):
        small.rows(one)
    small.close()


@pytest.mark.parametrize(("verb", "table"), [("INSERT", "attempt"), ("UPDATE", "study")])
def test_a_full_disk_is_named_and_nothing_is_written(store: Store, database: str, verb: str, table: str) -> None:
    study = queued(store, 1)
    with full_disk(database, verb, table):
        with pytest.raises(
            StoreUnavailable, match=r"disk of Postgres at .* is full .*No space left on device"
        ) as caught:
            leased(store, study, 0)
        assert "does not answer" not in str(caught.value)
        assert store.study(study.id).counts == Counts(queued=1)
    leased(store, study, 0)


def test_what_psycopg_says_of_a_full_disk_is_understood_wherever_it_comes_up() -> None:
    """As raised by the driver, and as SQLAlchemy wraps it, with and without the connection being lost by it."""
    said = psycopg.errors.DiskFull('could not write to file "pg_wal/xlogtemp.7": No space left on device')
    for lost in (False, True):
        wrapped = DBAPIError.instance("COMMIT", {}, said, psycopg.Error, connection_invalidated=lost)
        assert str(connection.explained(wrapped, "db/celeriac")) == str(connection.explained(said, "db/celeriac"))
        error = connection.explained(said, "db/celeriac")
        assert isinstance(error, StoreUnavailable)
        assert "the disk of Postgres at db/celeriac is full" in str(error)
        assert "pg_wal/xlogtemp.7" in str(error)


def test_a_refused_login_is_no_silent_server(database: str) -> None:
    absent = Database(database.replace(str(connection.parsed(database).database), "nowhere"), pool_size=1)
    stranger = Database(
        connection.parsed(database).set(username="nobody_known").render_as_string(hide_password=False), pool_size=1
    )
    for refused in (absent, stranger):
        with pytest.raises(StoreUnavailable, match=r"refuses the login at .*CELERIAC_DATABASE_URL") as caught:
            refused.rows(sql("SELECT 1"))
        assert "disk" not in str(caught.value)
        refused.close()
