"""The store in memory: the same rules in one process, for tests and for trying out samplers. Nothing of the service
runs on it.
"""

from collections.abc import Callable
from datetime import datetime

from celeriac.store.memory.changes import Changes
from celeriac.store.memory.finish import Ends
from celeriac.store.memory.leases import Leases
from celeriac.store.memory.maintenance import Care
from celeriac.store.memory.reading import Reading
from celeriac.store.memory.reports import Reports
from celeriac.store.memory.rows import Rows, system_clock
from celeriac.store.memory.schedules import Schedules
from celeriac.store.memory.studies import Studies
from celeriac.store.memory.turns import Turns


class MemoryStore(Studies, Turns, Leases, Reports, Ends, Care, Changes, Schedules, Reading):
    """`celeriac.store.api.Store` in memory; safe between threads. `clock` is the store's clock, aware UTC."""

    def __init__(self, clock: Callable[[], datetime] = system_clock) -> None:
        super().__init__(Rows(clock))

    def now(self) -> datetime:
        return self._rows.clock()

    def check_schema(self) -> None:
        """See `Store.check_schema`: there is none to differ from."""

    def close(self) -> None:
        """See `Store.close`: there is nothing to give back."""
