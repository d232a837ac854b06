"""How another thread wakes the runner's loop, which waits for descriptors."""

import os
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
