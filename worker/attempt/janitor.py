"""Work that nobody waits for: files to delete, and messages that heal by themselves if they are lost.

A thread for each kind. A directory that does not answer holds up its own thread and nothing else: what is put behind
it waits, up to a limit, and that is said now and then.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable

from celeriac.domain.errors import CeleriacError

log = logging.getLogger(__name__)

Chore = Callable[[], None]

MOST_WAITING = 1000
HANGS_S = 10.0
#: For so long what nobody waits for stands aside between two trials: the next one begins meanwhile, and needs the
#: processors.
ASIDE_S = 0.03


class Janitor:
    """A thread and its queue. A chore is done at most once; one that fails is said and left."""

    def __init__(self, name: str, *, most_waiting: int = MOST_WAITING, hangs_s: float = HANGS_S) -> None:
        self._name, self._most_waiting, self._hangs_s = name, most_waiting, hangs_s
        self._changed = threading.Condition()
        self._waiting: deque[tuple[float, str, Chore]] = deque()
        self._doing: tuple[str, float] | None = None
        self._said_at = -math.inf
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, what: str, chore: Chore, *, in_s: float = 0.0) -> None:
        """Have it done soon, `in_s` from now at the earliest; what is put behind it comes after it. Never waits: with
        the queue full it is left undone, and said.
        """
        with self._changed:
            full = len(self._waiting) >= self._most_waiting
            if not full:
                self._waiting.append((time.monotonic() + in_s, what, chore))
                self._changed.notify_all()
            doing, behind = self._doing, len(self._waiting)
            since_s = 0.0 if doing is None else time.monotonic() - doing[1]
            hangs = since_s > self._hangs_s and time.monotonic() - self._said_at > self._hangs_s
            if hangs:
                self._said_at = time.monotonic()
        if full:
            log.error("%s is left undone: %d others wait already (%s)", what, behind, self._name)
        elif doing is not None and hangs:
            log.warning("%s has not come back for %.0f s; %d others wait behind it", doing[0], since_s, behind)

    def settle(self, within_s: float) -> bool:
        """Wait until nothing is left to do; whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and self._doing is None, within_s)

    def close(self, within_s: float = 5.0) -> None:
        """Do what is left, then end the thread, which is not waited for longer than this. Safe to repeat."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(within_s)
        if self._thread.is_alive() and self._doing is not None:
            log.warning("%s has not come back; %d others are left undone", self._doing[0], len(self._waiting))

    def _run(self) -> None:
        while (chore := self._next()) is not None:
            what, deed = chore
            try:
                deed()
            except (CeleriacError, OSError) as error:
                log.warning("%s is left undone: %s", what, error)
            except Exception:
                log.exception("%s failed and is left undone", what)

    def _next(self) -> tuple[str, Chore] | None:
        with self._changed:
            self._doing = None
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._closing)
            while self._waiting and not self._closing and (left_s := self._waiting[0][0] - time.monotonic()) > 0:
                self._changed.wait(left_s)
            if not self._waiting:
                return None
            _, what, deed = self._waiting.popleft()
            self._doing = (what, time.monotonic())
            return what, deed
