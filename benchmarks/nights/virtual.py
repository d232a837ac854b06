"""A Postgres whose own clock is virtual: every statement, default and function of the store reads the time that the
simulation has set, so leases, due times, waits and retries all follow it and the store's code runs unchanged.

`clock_timestamp()` of this throw-away cluster is replaced by a counter of microseconds. Each look at it moves it on by
one, so that no two instants are the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg

from benchmarks.fleet.simulation import postgres

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REPLACE = """
SET allow_system_table_mods = on;
CREATE SCHEMA virtual;
CREATE SEQUENCE virtual.clock;
ALTER FUNCTION pg_catalog.clock_timestamp() RENAME TO real_clock_timestamp;
CREATE FUNCTION pg_catalog.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE AS
$$SELECT timestamptz '1970-01-01T00:00:00Z' + nextval('virtual.clock') * interval '1 microsecond'$$;
GRANT USAGE ON SCHEMA virtual TO PUBLIC;
GRANT USAGE ON SEQUENCE virtual.clock TO PUBLIC;
"""


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


def _replace_clock(url: str) -> None:
    with psycopg.connect(_plain(url), autocommit=True) as connection:
        connection.execute(_REPLACE)
        connection.execute("SELECT setval('virtual.clock', %s)", [(BEGAN - _EPOCH) // _MICROSECOND])


class DatabaseClock:
    """Moves the database's clock on. It never goes back."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(_plain(url), autocommit=True)
        self._now = BEGAN

    def __call__(self) -> datetime:
        """The instant that was last set; the database's is some microseconds later."""
        return self._now

    @property
    def passed_s(self) -> float:
        """Virtual seconds since the beginning."""
        return (self._now - BEGAN).total_seconds()

    def move_to(self, second: float) -> None:
        """Set the virtual time, in seconds since the beginning."""
        self._now = max(BEGAN + timedelta(seconds=second), self._now)
        micros = (self._now - _EPOCH) // _MICROSECOND
        self._connection.execute(
            "SELECT setval('virtual.clock', greatest(%s, last_value)) FROM virtual.clock", [micros]
        )

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()


@contextmanager
def virtual_postgres() -> Iterator[str]:
    """The URL of a Postgres with all tables and a virtual clock, for the block."""
    with postgres(before=_replace_clock) as url:
        yield url
