"""Waiting for descriptors, and how another thread wakes the one that waits."""

import math
import os
import select
from collections.abc import Sequence
from contextlib import suppress


class Wakeup:
    """Readable from `set` to `clear`. `set` may be called by any thread, the rest by its owner only."""

    def __init__(self) -> None:
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """For `select` and `poll`."""
        return self._event

    def set(self) -> None:
        """Make it readable."""
        os.eventfd_write(self._event, 1)

    def clear(self) -> None:
        """Make it unreadable: what it was set for is looked at now."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._event)

    def close(self) -> None:
        """Give the descriptor back, once no thread can set it any more."""
        os.close(self._event)


def wait(descriptors: Sequence[int], within_s: float) -> None:
    """Until one of them is readable, or the time is over (infinity: for ever)."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    poll.poll(None if within_s == math.inf else max(0.0, within_s) * 1000)
