"""Beat's scheduler. Rule: a tick's id says what it is, as every ticket's does, and is never used twice: an expired id stays revoked."""

from typing import Any

from celery.beat import ScheduleEntry, Scheduler

from celeriac.broker import readable_id


class Ticks(Scheduler):
    """Celery's own, but for the ids."""

    def apply_async(self, entry: ScheduleEntry, *args: Any, **options: Any) -> Any:
        """Send one tick."""
        of_schedule = entry.options or {}
        entry.options = {**of_schedule, "task_id": readable_id(of_schedule["argsrepr"])}
        return super().apply_async(entry, *args, **options)
