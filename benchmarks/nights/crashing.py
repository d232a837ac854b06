"""What goes wrong in the simulated nights: a store that dies at its calls, tickets that are lost or doubled, and how
often. All of it from one seeded generator.
"""

import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmarks.fleet.simulation import Queues
from celeriac.domain.errors import BrokerUnavailable, StoreUnavailable
from celeriac.domain.messages import Message
from celeriac.store import Store


class Killed(BaseException):
    """The program ends here, as by kill -9: no `except Exception` of its own catches it."""


@dataclass
class Weather:
    """The chances of each kind of fault, and how often each was done.

    Of a call of the store: `dies` (killed before or after it), `cut` (the store does not answer, before or after it).
    Of a ticket: `lost`, `doubled`, `refused` (Redis is away). Of a trial: `killed` (its worker, only the lease tells),
    `infrastructure` (a fault that is seen). Of a hook: `hook_fails`, in percent, when its work was done already.
    """

    rng: random.Random
    dies: float = 0.002
    cut: float = 0.002
    lost: float = 0.02
    doubled: float = 0.03
    refused: float = 0.01
    killed: float = 0.03
    infrastructure: float = 0.03
    hook_fails: int = 10
    done: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def strikes(self, kind: str, chance: float) -> bool:
        """Whether this fault comes now."""
        with self._lock:
            if self.rng.random() >= chance:
                return False
            self.done[kind] += 1
            return True


class CrashingStore:
    """The real store, whose every call may be the last thing that its program does; half of the time it was done."""

    def __init__(self, store: Store, weather: Weather) -> None:
        self._store, self._weather = store, weather

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._strike(f"before {name}")
            made = found(*args, **kwargs)
            if name != "driving":  # a context manager: nothing is done before it is entered
                self._strike(f"after {name}")
            return made

        return call

    def _strike(self, where: str) -> None:
        if self._weather.strikes("a program is killed at a call of the store", self._weather.dies / 2):
            raise Killed(where)
        if self._weather.strikes("the store is cut off at a call", self._weather.cut / 2):
            raise StoreUnavailable(where)


class LossyQueues(Queues):
    """Tickets in lists; some never arrive, some arrive twice, some are refused."""

    def __init__(self, weather: Weather) -> None:
        super().__init__()
        self._weather = weather

    def send(self, message: Message, *, queue: str, summary: str, task_id: str | None = None) -> None:
        if self._weather.strikes("Redis refuses a ticket", self._weather.refused):
            raise BrokerUnavailable("Redis does not answer")
        if self._weather.strikes("a ticket is lost", self._weather.lost):
            return
        self.queues[queue].append(message)
        if self._weather.strikes("a ticket is doubled", self._weather.doubled):
            self.queues[queue].append(message)
