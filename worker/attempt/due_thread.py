"""A thread that works on each thing whenever that is due: the lease's keeper and the result writer are two of them."""

import threading
import time
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

T = TypeVar("T")


class DueThread(ABC, Generic[T]):
    """The thread, and the things that it works on, one at a time. `_work` must not raise."""

    def __init__(self, name: str) -> None:
        self._changed = threading.Condition()
        self._things: list[T] = []
        self._working: T | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @abstractmethod
    def _due_at(self, thing: T) -> float:
        """When there is something to do with it next, on the monotonic clock."""

    @abstractmethod
    def _work(self, thing: T) -> None:
        """Do what is due."""

    def _take(self, thing: T) -> T:
        """Work on this too from now on, until it is dropped."""
        with self._changed:
            self._things.append(thing)
            self._changed.notify_all()
        return thing

    def _drop(self, thing: T, *, wait: bool = False) -> None:
        """Work on it no more; `wait`: for what is under way, too."""
        with self._changed:
            self._things = [each for each in self._things if each is not thing]
            if wait:
                self._changed.wait_for(lambda: self._working is not thing)

    def close(self, within_s: float = 5.0) -> None:
        """End the thread. Safe to repeat."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(within_s)

    def _run(self) -> None:
        while (thing := self._next_due()) is not None:
            self._work(thing)

    def _next_due(self) -> T | None:
        """Wait until something is due; None: the thread is closed."""
        with self._changed:
            self._working = None
            self._changed.notify_all()
            while not self._closing:
                thing = min(self._things, key=self._due_at, default=None)
                if thing is None:
                    self._changed.wait()
                elif (left_s := self._due_at(thing) - time.monotonic()) > 0:
                    self._changed.wait(left_s)
                else:
                    self._working = thing
                    return thing
            return None
