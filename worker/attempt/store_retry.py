"""One way of waiting for a store that is away: repeat the call until it answers, say so once, and give up with a clear
word.

How long to go on is the caller's: a pause waits until the next try is due, and says whether there is to be one.
Everything that the error tree calls `TryAgain` is repeated, so a deadlock between two writers as well as a server that
is down.
"""

import logging
import math
import time
from collections.abc import Callable
from itertools import chain, repeat
from typing import TypeVar

from celeriac.domain.errors import SpecInvalid, TryAgain, UnknownStudy, UnknownTrial
from celeriac.domain.records import Refusal
from worker.attempt.control import Control
from worker.attempt.wakeup import wait

log = logging.getLogger(__name__)

T = TypeVar("T")
#: Waits so many seconds, or less if something happens; whether to try again.
Pause = Callable[[float], bool]

DELAYS_S = (0.2, 0.5, 1.0)
LAST_DELAY_S = 2.0


class StoreRetry:
    """Repeats one call of the store, 0.2, 0.5, 1 and then every 2 s. `what` names the work that waits, for the log."""

    def __init__(self, what: str, pause: Pause) -> None:
        self._what, self._pause = what, pause

    def __call__(self, call: Callable[[], T]) -> T:
        """The call's result. Raises its TryAgain when the pause ends the waiting, and every other error at once."""
        told = False
        for delay_s in chain(DELAYS_S, repeat(LAST_DELAY_S)):
            try:
                return call()
            except TryAgain as error:
                if not told:
                    log.warning("%s waits for the store: %s", self._what, error)
                told = True
                if not self._pause(delay_s):
                    log.warning("%s is given up: the store is still away (%s)", self._what, error)
                    raise
        raise AssertionError("the delays never end")


def answered(what: str, control: Control, call: Callable[[], T]) -> T | Refusal:
    """What the store answers to a ticket: while it is away this slot has nothing better to do than to ask again. An
    order to stop, and a ticket of a database before this one or of a newer version, are refusals.
    """
    told_to_stop = Refusal("this worker was told to stop; the ticket will be sent again")
    if control.stopped():
        return told_to_stop
    try:
        return StoreRetry(what, UntilStopped(control, grace_s=0.0))(call)
    except TryAgain:
        return told_to_stop
    except (UnknownStudy, UnknownTrial, SpecInvalid) as error:
        return Refusal(str(error))


class UntilStopped:
    """Go on until an order to stop is `grace_s` old. The order ends the wait that it finds, not those after it."""

    def __init__(self, control: Control, *, grace_s: float) -> None:
        self._orders, self._grace_s = control, grace_s
        self._end_at = math.inf

    def __call__(self, delay_s: float) -> bool:
        """See `Pause`."""
        stopped = self._note_order()
        control = self._orders
        wait(
            [] if stopped else [control.drain_fd, control.terminated_fd], min(delay_s, self._end_at - time.monotonic())
        )
        self._note_order()
        return time.monotonic() < self._end_at

    def _note_order(self) -> bool:
        stopped = self._orders.stopped()
        if stopped and self._end_at == math.inf:
            self._end_at = time.monotonic() + self._grace_s
        return stopped
