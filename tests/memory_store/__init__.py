"""The store in memory: a model of the store's rules, held to the same contract suite as Postgres. No program uses it.

Tests and a benchmark run on it, with a clock of their own and without a server.
"""

from collections.abc import Callable
from datetime import datetime

from tests.memory_store.changes import Changes
from tests.memory_store.deliveries import Deliveries
from tests.memory_store.figures import Figures
from tests.memory_store.finish import Ends
from tests.memory_store.firings import Firings
from tests.memory_store.gangs import Gangs
from tests.memory_store.maintenance import Maintenance
from tests.memory_store.packs import Packs
from tests.memory_store.population import Population
from tests.memory_store.preemption import Preemption
from tests.memory_store.reading import Reading
from tests.memory_store.reports import Reports
from tests.memory_store.rows import Rows, system_clock
from tests.memory_store.schedules import Schedules
from tests.memory_store.studies import Studies
from tests.memory_store.turns import Turns


class MemoryStore(
    Studies,
    Turns,
    Packs,
    Gangs,
    Reports,
    Ends,
    Maintenance,
    Changes,
    Schedules,
    Firings,
    Deliveries,
    Preemption,
    Population,
    Reading,
    Figures,
):
    """`celeriac.store.api.Store` in memory; safe between threads. `clock` is the store's clock, aware UTC."""

    def __init__(self, clock: Callable[[], datetime] = system_clock) -> None:
        super().__init__(Rows(clock))

    def now(self) -> datetime:
        return self._rows.clock()

    def check_schema(self) -> None:
        """See `Store.check_schema`: there is none to differ from."""

    def close(self) -> None:
        """See `Store.close`: there is nothing to give back."""
