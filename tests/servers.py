"""One Postgres and one Redis for a whole test run: the stack's own, only without fsync, in a private short-lived
directory.

The process that runs pytest starts them, when a test first asks or before xdist starts its workers; the workers find
them by environment variables. Every worker gets a database and a Redis database of its own.
"""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import make_url

from celeriac.local.postgres import Postgres
from celeriac.local.redis import Redis
from celeriac.store.connection import open_engine
from celeriac.store.migrate import migrate

POSTGRES = "CELERIAC_TEST_POSTGRES"
REDIS = "CELERIAC_TEST_REDIS"
TEMPLATE = "celeriac_migrated"


@dataclass(frozen=True)
class Servers:
    """Where the run's servers are."""

    postgres: str
    redis: str

    def database(self, name: str, *, migrated: bool = True) -> str:
        """The URL of a new database of that name, empty or with all tables; an older one of that name is dropped."""
        template = TEMPLATE if migrated else "template0"
        self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name} TEMPLATE {template}")
        return in_database(self.postgres, name)

    def drop(self, name: str) -> None:
        """Drop a database, whoever uses it."""
        self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def run(self, *statements: str) -> None:
        """Run statements as the superuser, each on its own."""
        engine = open_engine(self.postgres, pool_size=1)
        try:
            with engine.connect() as connection:
                for statement in statements:
                    connection.execute(text(statement))
        finally:
            engine.dispose()

    def redis_database(self, number: int) -> str:
        """The URL of one of Redis' databases."""
        return f"{self.redis}?virtual_host={number}"


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_ports(count: int) -> list[int]:
    """Neighbours that nobody listens on now, as the programs of one host take them for their metrics."""
    while True:
        first = free_port()
        with ExitStack() as held, suppress(OSError):
            for port in range(first, first + count):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            return list(range(first, first + count))


def in_database(url: str, name: str) -> str:
    """The same server, another database."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)


@contextmanager
def own_postgres() -> Iterator[Postgres]:
    """A server with all tables that a test may stop and kill; it must run again at the end."""
    home = Path(tempfile.mkdtemp(prefix="cel-", dir="/tmp"))
    postgres = Postgres(home / "postgres", home / "run", durable=False)
    postgres.init()
    os.close(postgres.child.start())
    postgres.child.wait_ready()
    migrate(postgres.dsn)
    yield postgres
    postgres.child.stop(20.0)
    shutil.rmtree(home)


class Run:
    """The servers of this run, started at most once; `stop` ends them and leaves nothing."""

    def __init__(self) -> None:
        self._home: Path | None = None
        self._servers: list[Postgres | Redis] = []

    def servers(self) -> Servers:
        """Where they are; starts them unless this or the controlling process has done so."""
        if POSTGRES not in os.environ:
            self._start()
        return Servers(os.environ[POSTGRES], os.environ[REDIS])

    def stop(self) -> None:
        """End what `servers` started here."""
        for server in self._servers:
            server.child.stop(20.0)
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            for variable in (POSTGRES, REDIS):
                os.environ.pop(variable, None)
        self._home, self._servers = None, []

    def _start(self) -> None:
        self._home = home = Path(tempfile.mkdtemp(prefix="celeriac-test-"))
        postgres = Postgres(home / "postgres", home / "run", durable=False, max_connections=200)
        redis = Redis(home / "redis", home / "run")
        self._servers = [postgres, redis]
        postgres.init()
        for server in self._servers:
            os.close(server.child.start())
            server.child.wait_ready()
        os.environ[POSTGRES], os.environ[REDIS] = postgres.dsn, redis.url
        migrate(Servers(postgres.dsn, redis.url).database(TEMPLATE, migrated=False))
