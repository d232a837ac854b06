"""Is this worker deaf? A Celery worker can answer pings and yet have stopped consuming, or hang in a half-open
connection.

What it sees from outside is the same: tickets wait in its queues, and it stays idle. After `patience_s` of that it
ends itself, to be started afresh by its node. Only an idle worker does: a trial is never cut short for it. An
unreachable Redis is no sign of deafness.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from celeriac.domain.errors import BrokerUnavailable

log = logging.getLogger(__name__)

DEAF = 1
LOOK_S = 5.0


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the worker saw: tickets that wait (None: Redis does not say), whether it is busy, and how many
    it took.
    """

    waiting: int | None
    busy: bool
    taken: int


@dataclass(frozen=True, slots=True)
class WatchDecision:
    """Whether to leave, why, and since when the worker has been idle beside waiting tickets."""

    leave: bool
    reason: str
    idle_since: float | None


def watch(now: float, look: Look, *, taken_before: int, idle_since: float | None, patience_s: float) -> WatchDecision:
    """Decide on one look; `idle_since` is the last decision's."""
    if look.waiting is None:
        return WatchDecision(False, "Redis does not answer: nobody could take a ticket", None)
    if look.busy or look.taken != taken_before or look.waiting == 0:
        return WatchDecision(False, "it works, or there is nothing to do", None)
    since = now if idle_since is None else idle_since
    reason = f"{look.waiting} tickets wait and this worker has been idle for {now - since:.0f} s"
    return WatchDecision(now - since >= patience_s, reason, since)


class Watchdog:
    """A thread of the main process that looks every LOOK_S seconds; a hanging event loop cannot hold it up."""

    def __init__(
        self,
        *,
        patience_s: float,
        waiting: Callable[[], int],
        busy: Callable[[], bool],
        taken: Callable[[], int],
        leave: Callable[[int], None] = os._exit,
    ) -> None:
        """`waiting` may raise BrokerUnavailable; `leave` is called with the exit status DEAF."""
        self._patience_s, self._leave = patience_s, leave
        self._waiting, self._busy, self._taken = waiting, busy, taken
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start looking."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking: the worker is about to end anyway."""
        self._ending.set()

    def _run(self) -> None:
        taken, idle_since = self._taken(), None
        look_s = min(LOOK_S, self._patience_s / 4)
        while not self._ending.wait(look_s):
            look = Look(self._count(), self._busy(), self._taken())
            decision = watch(
                time.monotonic(), look, taken_before=taken, idle_since=idle_since, patience_s=self._patience_s
            )
            if decision.leave and not self._busy():
                log.error("%s: leaving, to be started afresh", decision.reason)
                self._leave(DEAF)
                return
            taken, idle_since = look.taken, decision.idle_since

    def _count(self) -> int | None:
        try:
            return self._waiting()
        except BrokerUnavailable:
            return None
