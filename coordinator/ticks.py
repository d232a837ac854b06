"""Beat's scheduler. Rule: a tick's id says what it is, as every ticket's does, and is never used twice: an expired id stays revoked."""

from typing import Any

from celery.beat import Scheduler

from celeriac.broker import readable_id


class Ticks(Scheduler):
    """Celery's own, but for the ids."""

    def send_task(self, *args: Any, **options: Any) -> Any:
        """Send one tick."""
        return super().send_task(*args, task_id=readable_id(options["argsrepr"]), **options)
