"""The store on Postgres: statements in `sql/`, verbs grouped by who speaks them, one small pool of connections.

Make one per process, after any fork.
"""

from datetime import datetime

from celeriac.domain.errors import SchemaMismatch
from celeriac.store.postgres.access import Access
from celeriac.store.postgres.board import Board
from celeriac.store.postgres.changes import Changes
from celeriac.store.postgres.deliveries import Deliveries
from celeriac.store.postgres.figures import Figures
from celeriac.store.postgres.finish import Ends
from celeriac.store.postgres.firings import Firings
from celeriac.store.postgres.functions import digest
from celeriac.store.postgres.gangs import Gangs
from celeriac.store.postgres.maintenance import Maintenance
from celeriac.store.postgres.packs import Packs
from celeriac.store.postgres.placing import PlacedTrials
from celeriac.store.postgres.reading import Reading
from celeriac.store.postgres.reports import Reports
from celeriac.store.postgres.schedules import Schedules
from celeriac.store.postgres.statements import SCHEMA
from celeriac.store.postgres.studies import Studies
from celeriac.store.postgres.turns import Turns
from celeriac.store.postgres.web import Web
from celeriac.store.revision import FOUND, agree


class PostgresStore(
    Studies,
    Turns,
    Gangs,
    Packs,
    Reports,
    Ends,
    Maintenance,
    Changes,
    Schedules,
    Firings,
    Deliveries,
    PlacedTrials,
    Reading,
    Figures,
    Access,
    Board,
    Web,
):
    """`celeriac.store.api.Store` on Postgres, and `celeriac.store.api_board.BoardStore`."""

    def now(self) -> datetime:
        now: datetime = self._rows("now")[0]["now"]
        return now

    def check_schema(self) -> None:
        found = self._db.rows(FOUND)
        agree(found[0]["version_num"] if found else None, self._db.name)
        if self._rows("functions", schema=SCHEMA)[0]["digest"] != digest():
            raise SchemaMismatch(
                f"{self._db.name} has the functions of another version of this program: run `celeriac migrate`"
            )

    def close(self) -> None:
        self._db.close()
