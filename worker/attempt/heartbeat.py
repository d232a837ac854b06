"""Keeps the lease of the running attempt. Promise: a renewal waits for nothing but the store's own answer.

One thread does this and nothing else: reports, the log's tail, deleted files and messages have threads of their own
(`worker.attempt.result_writer`, `worker.attempt.janitor`). It takes whichever of the process' connections is free, and
the others never hold more than one. So a report that waits for a lock, or a directory that does not answer, costs no
lease.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from celeriac.domain.errors import LeaseLost, TryAgain
from worker.attempt.due_thread import DueThread
from worker.attempt.wakeup import Wakeup

log = logging.getLogger(__name__)

AGAIN_S = 1.0


class Renews(Protocol):
    """What of the store is used here."""

    def renew(self, token: str, lease_s: float) -> str:
        """See `Store.renew`."""


@dataclass(slots=True, eq=False)
class KeptLease:
    """One lease while it is kept. `lost`, and `asked_back` (why the trial is to hand itself back), are set, once, by
    the keeper's thread; the runner is woken then.

    `renew`: what renews it, every `every_s`, and says as `Renews.renew` why the trial is asked back.
    """

    renew: Callable[[], str]
    every_s: float
    renew_at: float
    lost: LeaseLost | None = None
    asked_back: str = ""
    troubled: bool = False


class LeaseKeeper(DueThread[KeptLease]):
    """The thread, and the leases that it keeps: one, or those of a pack together."""

    def __init__(self, store: Renews, wakeup: Wakeup, *, lease_s: float, heartbeat_s: float) -> None:
        self.lease_s, self.heartbeat_s = lease_s, heartbeat_s
        self.store = store
        self._wakeup = wakeup
        super().__init__("lease-keeper")

    def keep(self, token: str) -> KeptLease:
        """Renew this lease at every heartbeat from now on."""
        every_s = self.heartbeat_s
        return self._take(KeptLease(lambda: self.store.renew(token, self.lease_s), every_s, time.monotonic() + every_s))

    def keep_otherwise(self, renew: Callable[[], str], every_s: float) -> KeptLease:
        """Have a membership, or a pack's leases, renewed; `renew` answers and raises as `Renews.renew`."""
        return self._take(KeptLease(renew, every_s, time.monotonic()))

    def hurry(self, kept: KeptLease) -> None:
        """Renew it now: there is something to say with it."""
        with self._changed:
            kept.renew_at = time.monotonic()
            self._changed.notify_all()

    def leave(self, kept: KeptLease) -> None:
        """Renew it no more. A renewal that is under way is not waited for: after the attempt's end it changes
        nothing.
        """
        self._drop(kept)

    def _due_at(self, kept: KeptLease) -> float:
        return kept.renew_at

    def _work(self, kept: KeptLease) -> None:
        """Whatever goes wrong, the thread lives on: a lease that cannot be renewed lapses, and no other one with it."""
        again_s = min(AGAIN_S, kept.every_s)
        try:
            asked_back = kept.renew()
            again_s, kept.troubled = kept.every_s, False
            if asked_back and not kept.asked_back:
                kept.asked_back = asked_back
                self._wakeup.set()
        except LeaseLost as lost:
            kept.lost = lost
            self.leave(kept)
            self._wakeup.set()
        except TryAgain as error:
            self._say(kept, "the store is away, the trial runs on: %s", error)
        except Exception as error:
            self._say(kept, "the lease cannot be renewed and lapses if that lasts: %s", error)
        kept.renew_at = time.monotonic() + again_s

    def _say(self, kept: KeptLease, words: str, error: Exception) -> None:
        """Once for each trouble."""
        if not kept.troubled:
            log.warning(words, error)
        kept.troubled = True
