"""What all tests share: the run's servers, a store and settings on them, and how hypothesis searches."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy  # noqa: F401 # whole, before hypothesis looks at it: a sampler's background thread may be half through it
import psycopg
import pytest
import redis
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from sqlalchemy.engine import make_url

from celeriac.runtime.settings import Settings
from celeriac.store import Store, open_store
from celeriac.store.tables import metadata
from tests.celeriac.runtime.artefacts.roots import HAS_S3, s3_server
from tests.memory_store import MemoryStore
from tests.servers import Run, Servers

RUN = pytest.StashKey[Run]()
SMALL_BYTES = 2**20
SIZE = b"SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
EMPTY = "; ".join(
    [f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables)]
    + [f"ALTER SEQUENCE {t.name}_{c.name}_seq RESTART" for t in metadata.sorted_tables for c in t.c if c.identity]
).encode()
MAKE_ANEW = f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY CASCADE".encode()
#: A test that asks for one of these needs the servers.
ON_SERVERS = {"servers", "database", "store", "settings", "subject"}

hypothesis_settings.register_profile(
    "ci",
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),  # to make a failure small takes minutes: HYPOTHESIS_PROFILE=search does it
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
hypothesis_settings.register_profile(
    "search", parent=hypothesis_settings.get_profile("ci"), derandomize=False, phases=tuple(Phase)
)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure(config: pytest.Config) -> None:
    """In xdist's controller, start the servers now: its workers find them in the environment."""
    config.stash[RUN] = Run()
    if not hasattr(config, "workerinput") and getattr(config.option, "numprocesses", None):
        config.stash[RUN].servers()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what this process started."""
    config.stash[RUN].stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs servers. Fast files come first; then those with long tests, so that none of them runs alone at
    the end; then the rest of those that need servers.
    """
    for item in items:
        if ON_SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("services")
    long = {item.path for item in items if {"slow", "stack"} & {mark.name for mark in item.iter_markers()}}

    def place(item: pytest.Item) -> int:
        return 1 if item.path in long else 2 if item.get_closest_marker("services") else 0

    items.sort(key=place)


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Servers:
    """The run's Postgres and Redis."""
    return request.config.stash[RUN].servers()


@pytest.fixture(scope="session")
def database(servers: Servers) -> Iterator[str]:
    """The URL of this worker's own database, with all tables."""
    name = f"celeriac_{_worker()}"
    yield servers.database(name)
    servers.drop(name)


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, str]]:
    """A server that speaks S3, one a worker: the environment by which programs reach it. Every test has a prefix of its
    own in the bucket.
    """
    if not HAS_S3:
        pytest.skip("needs the extra s3 and moto")
    with s3_server() as reached:
        yield reached


@pytest.fixture
def empty_database(database: str) -> str:
    """The same without a row, and with numbers that start again: emptied once a test, however many ask for it.

    Rows are deleted, in a tenth of the time that TRUNCATE takes, but where a test before has left large tables.
    """
    url = make_url(database).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        size = connection.execute(SIZE).fetchone()
        connection.execute(EMPTY if size is not None and size[0] < SMALL_BYTES else MAKE_ANEW)
    return database


@pytest.fixture
def store(empty_database: str) -> Iterator[Store]:
    """The store on Postgres, empty."""
    opened = open_store(empty_database)
    yield opened
    opened.close()


@pytest.fixture
def memory_store() -> MemoryStore:
    """The store in memory, empty."""
    return MemoryStore()


@pytest.fixture
def settings(servers: Servers, empty_database: str, tmp_path: Path) -> Settings:
    """Settings of this worker's own database and Redis, both empty; paths below the test's directory."""
    number = _number()
    path = servers.redis.removeprefix("redis+socket://")
    with redis.Redis(unix_socket_path=path, db=number) as connection:
        connection.flushdb()
    return Settings.from_env(
        {
            "CELERIAC_DATABASE_URL": empty_database,
            "CELERIAC_BROKER_URL": servers.redis_database(number),
            "CELERIAC_CODE_ROOT": str(tmp_path),
            "CELERIAC_HOST": "testhost",
        },
        home=tmp_path / "home",
    )


def _worker() -> str:
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


def _number() -> int:
    """The Redis database of this worker: 0 is the one of a run without workers; Redis has 16."""
    return (int(_worker().removeprefix("gw")) + 1) % 16 if _worker() != "main" else 0
