"""The contract's subjects: each store, with a way to let time pass in it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from celeriac.store import Store
from celeriac.store.connection import open_engine
from tests.memory_store import MemoryStore

# Time passes in Postgres by making everything older.
AGE = (
    "UPDATE attempt SET lease_until = lease_until - make_interval(secs => :by_s)",
    (
        "UPDATE gang_member SET lease_until = lease_until - make_interval(secs => :by_s), joined_at = joined_at -"
        " make_interval(secs => :by_s)"
    ),
    "UPDATE trial SET queued_at = queued_at - make_interval(secs => :by_s) WHERE queued_at IS NOT NULL",
    "UPDATE trial SET not_before = not_before - make_interval(secs => :by_s) WHERE not_before IS NOT NULL",
    "UPDATE put_aside SET until = until - make_interval(secs => :by_s)",
    "UPDATE delivery SET next_at = next_at - make_interval(secs => :by_s)",
    (
        "UPDATE study SET started_at = started_at - make_interval(secs => :by_s), paused_at = paused_at -"
        " make_interval(secs => :by_s), first_leased_at = first_leased_at - make_interval(secs => :by_s), ended_at ="
        " ended_at - make_interval(secs => :by_s)"
    ),
    (
        "UPDATE reaper SET looked_at = looked_at - make_interval(secs => :by_s), before_at = before_at -"
        " make_interval(secs => :by_s)"
    ),
    "UPDATE duty SET done_at = done_at - make_interval(secs => :by_s)",
    "UPDATE device SET heartbeat_at = heartbeat_at - make_interval(secs => :by_s)",
)


@dataclass(frozen=True)
class Subject:
    """A store under test. `pass_time(s)`: leases, tickets and heartbeats become that much older."""

    store: Store
    pass_time: Callable[[float], None]


class Clock:
    """A clock that goes on by itself and can be moved."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def memory_subject() -> Subject:
    clock = Clock()

    def pass_time(by_s: float) -> None:
        clock.ahead += timedelta(seconds=by_s)

    return Subject(MemoryStore(clock), pass_time)


@contextmanager
def postgres_subject(store: Store, database: str) -> Iterator[Subject]:
    engine = open_engine(database, pool_size=1)

    def pass_time(by_s: float) -> None:
        with engine.connect() as connection:
            for statement in AGE:
                connection.execute(text(statement), {"by_s": by_s})

    yield Subject(store, pass_time)
    engine.dispose()


@pytest.fixture(params=["memory", "postgres"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Both stores in turn."""
    if request.param == "memory":
        yield memory_subject()
    else:
        store, database = request.getfixturevalue("store"), request.getfixturevalue("database")
        with postgres_subject(store, database) as made:
            yield made


@pytest.fixture
def any_store(subject: Subject) -> Store:
    """Both stores in turn, where time does not matter."""
    return subject.store
