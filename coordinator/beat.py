"""Beat's scheduler. Rule: a tick's id says what it is, as every ticket's does, and is never used twice: an expired id
stays revoked.

Promise: a broker that is away is told once an outage. The next tick makes up for a lost one, so each needs no word of
its own.
"""

import logging
from typing import Any

from celery.beat import ScheduleEntry, Scheduler, SchedulingError

from celeriac.runtime.broker import readable_id

log = logging.getLogger(__name__)


class Ticks(Scheduler):
    """Celery's own, but for the ids and for what it says when Redis is away."""

    _away = False

    def apply_async(self, entry: ScheduleEntry, *args: Any, **options: Any) -> Any:
        """Send one tick."""
        of_schedule = entry.options or {}
        entry.options = {**of_schedule, "task_id": readable_id(of_schedule["argsrepr"])}
        return super().apply_async(entry, *args, **options)

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Send one tick that is due, or let it be where nobody takes it."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            if not self._away:
                log.warning("no ticks are sent: %s; trials go on, and so do ticks when Redis is back", error)
            self._away = True
            return
        if self._away:
            log.warning("ticks are sent again")
        self._away = False
