"""What many viewers ask for at once is made once: values that are kept for a moment, by key."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from time import monotonic
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Kept:
    """At most `most` values, each for so many seconds. Who asks while one is made waits for it."""

    def __init__(self, for_s: float, most: int = 200, clock: Callable[[], float] = monotonic) -> None:
        self._for_s, self._most, self._clock = for_s, most, clock
        self._lock = threading.Lock()
        self._found: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of that key, made by `make` where there is none or it is too old."""
        with self._lock:
            turn = self._making.setdefault(key, threading.Lock())
        with turn:
            with self._lock:
                at, value = self._found.get(key, (0.0, None))
                if key in self._found and self._clock() - at < self._for_s:
                    return cast(T, value)
            made = make()
            with self._lock:
                self._found[key] = (self._clock(), made)
                self._found.move_to_end(key)
                while len(self._found) > self._most:
                    old, _ = self._found.popitem(last=False)
                    self._making.pop(old, None)
            return made

    def drop(self, key: Hashable) -> None:
        """Forget one."""
        with self._lock:
            self._found.pop(key, None)

    def forget(self) -> None:
        """Drop all: something was changed."""
        with self._lock:
            self._found.clear()
