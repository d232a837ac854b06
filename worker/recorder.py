"""Writes how attempts ended, one after the other, in a thread beside the runner: its slot goes on to the next trial meanwhile.

Promises: ends are written one at a time and in their order. One that nobody waits for gives way until the next trial's process has its
job, or for HOLD_S: between two trials only what the next one needs is done. Should this process die before an end is written, its lease
is open still: whoever sees it die gives it back, and the trial runs again.
"""

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

# How long an end may wait for the next trial to begin. A ticket that is there takes 2 to 4 ms; without one there is nothing to wait for.
HOLD_S = 0.01

Deed = Callable[[], None]


class Recorder:
    """A thread and what it has to write. Deeds answer for their own failures: none may raise."""

    def __init__(self) -> None:
        self._deeds: SimpleQueue[Deed | None] = SimpleQueue()
        self._go = threading.Event()
        self._idle = os.eventfd(1, os.EFD_CLOEXEC)
        self._busy = self._first = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether an end is not written yet."""
        return self._busy

    @property
    def comes_first(self) -> bool:
        """Whether an end is not written yet that the next lease has to wait for."""
        return self._busy and self._first

    def fileno(self) -> int:
        """Readable while there is nothing to write."""
        return self._idle

    def put(self, deed: Deed, *, first: bool = False) -> None:
        """Have something written, at once if it comes `first`; for the runner's thread, and only while not `busy`."""
        if self._busy:
            raise RuntimeError("the end before is not written yet")
        os.eventfd_read(self._idle)
        self._busy, self._first = True, first
        if first:
            self._go.set()
        else:
            self._go.clear()
        self._deeds.put(deed)

    def now(self) -> None:
        """Have it written now."""
        self._go.set()

    def close(self, within_s: float) -> None:
        """Write what is to be written, then end the thread. Safe to repeat."""
        self._go.set()
        self._deeds.put(None)
        self._thread.join(within_s)
        if not self._thread.is_alive() and self._idle >= 0:
            os.close(self._idle)
            self._idle = -1

    def _run(self) -> None:
        while (deed := self._deeds.get()) is not None:
            self._go.wait(HOLD_S)
            try:
                deed()
            finally:
                self._busy = False
                os.eventfd_write(self._idle, 1)
