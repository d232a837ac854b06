"""How many connections a service needs, and how many its Postgres gives. The one place for that formula.

Importing this loads no SQLAlchemy: `celeriac up` asks before it starts anything.
"""

from contextlib import closing
from dataclasses import dataclass

#: A renewal never waits for a report of the same trial. At rest a slot holds none.
PER_SLOT = 2
#: The node's own, and those for a user's cancel and for a dead worker's leases.
PER_HOST = 4
#: Coordinator, clock, suggesters, and people with the command. The workers' role cannot take these.
FOR_THE_SERVICE = 30
#: What Postgres keeps back for superusers.
FOR_SUPERUSERS = 3

MAX_CONNECTIONS = "SELECT CAST(setting AS int) AS most FROM pg_settings WHERE name = 'max_connections'"
_USE = """
    SELECT (SELECT CAST(setting AS int) FROM pg_settings WHERE name = 'max_connections') AS most,
        (SELECT CAST(sum(numbackends) AS int) FROM pg_stat_database) AS used,
        (SELECT rolconnlimit FROM pg_roles WHERE rolname = 'celeriac_worker') AS of_workers
"""


@dataclass(frozen=True, slots=True)
class ConnectionUse:
    """`most`: Postgres' max_connections. `used` now, by everybody. `of_workers`: their role's limit; None: there is
    none.
    """

    most: int
    used: int
    of_workers: int | None


def connections_needed(slots: int, hosts: int = 1) -> int:
    """The `max_connections` of Postgres with which this many slots on this many hosts never wait for a connection."""
    return worker_connections(slots, hosts) + FOR_THE_SERVICE + FOR_SUPERUSERS


def worker_connections(slots: int, hosts: int = 1) -> int:
    """How many the workers hold at most."""
    return PER_SLOT * slots + PER_HOST * hosts


def worker_limit(max_connections: int) -> int:
    """How many of Postgres' connections the workers' role may hold, all hosts together; at least those of one slot."""
    return max(worker_connections(1), max_connections - FOR_THE_SERVICE - FOR_SUPERUSERS)


def connection_use(database_url: str) -> ConnectionUse:
    """What this Postgres has. Raises StoreUnavailable."""
    from celeriac.store.connection import Database, sql

    with closing(Database(database_url, pool_size=1)) as database:
        row = database.rows(sql(_USE))[0]
    limit = row["of_workers"]
    return ConnectionUse(row["most"], row["used"], None if limit is None or limit < 0 else limit)
