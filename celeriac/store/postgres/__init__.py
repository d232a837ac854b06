"""The store on Postgres: SQLAlchemy Core over psycopg, one small pool, verbs grouped by who speaks them.

Make one per process, after any fork.
"""

from datetime import datetime

from celeriac.domain.errors import SchemaMismatch
from celeriac.store.connection import Database, sql
from celeriac.store.postgres import functions
from celeriac.store.postgres.changes import Changes
from celeriac.store.postgres.finish import Ends
from celeriac.store.postgres.leases import Leases
from celeriac.store.postgres.maintenance import Care
from celeriac.store.postgres.reading import Reading
from celeriac.store.postgres.reports import Reports
from celeriac.store.postgres.schedules import Schedules
from celeriac.store.postgres.studies import Studies
from celeriac.store.postgres.turns import Turns
from celeriac.store.revision import FOUND, agree

FUNCTIONS = sql("SELECT obj_description(to_regnamespace(:schema), 'pg_namespace') AS digest")
NOW = sql("SELECT clock_timestamp() AS now")


class PostgresStore(Studies, Turns, Leases, Reports, Ends, Care, Changes, Schedules, Reading):
    """`celeriac.store.api.Store` on Postgres."""

    def __init__(self, database: Database, key: str) -> None:
        self._db, self._key = database, key

    def now(self) -> datetime:
        """See `Store.now`."""
        now: datetime = self._db.rows(NOW)[0]["now"]
        return now

    def check_schema(self) -> None:
        """See `Store.check_schema`."""
        row = self._db.row(FOUND)
        agree(None if row is None else row["version_num"], self._db.name)
        (made,) = self._db.rows(FUNCTIONS, schema=functions.SCHEMA)
        if made["digest"] != functions.digest():
            raise SchemaMismatch(
                f"{self._db.name} has the functions of another version of this program: run `celeriac migrate`"
            )

    def close(self) -> None:
        """See `Store.close`."""
        self._db.close()
