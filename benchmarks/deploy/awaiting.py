"""Waits until something is so in a system that tells nobody: another program's rows, another program's queue."""

import time
from collections.abc import Callable

LOOK_S = 0.5


def until(holds: Callable[[], bool], within_s: float, what: str) -> None:
    """Look again every LOOK_S. Raises AssertionError with `what` when the time is over."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {what}"
        time.sleep(LOOK_S)
