"""Reading files that may never answer, as on a directory that hangs: with a limit, and with orders to stop heard
meanwhile.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

from worker.attempt.control import Control
from worker.attempt.store_retry import wait
from worker.attempt.wakeup import Wakeup

T = TypeVar("T")


class Unanswered(Exception):
    """It did not come back in time, or an order to stop came first."""


def in_time(read: Callable[[], T], control: Control, *, within_s: float) -> T:
    """What `read` returns or raises. Raises Unanswered; the thread that reads is left to itself then, and what it
    finds is dropped.
    """
    found: list[T] = []
    raised: list[BaseException] = []
    done = Wakeup()

    def work() -> None:
        try:
            found.append(read())
        except BaseException as error:
            raised.append(error)
        done.set()

    thread = threading.Thread(target=work, name="reader", daemon=True)
    thread.start()
    wait([done.fileno(), control.drain_fd, control.terminated_fd], within_s)
    if not found and not raised:
        stopped = control.stopped()
        raise Unanswered("this worker was told to stop" if stopped else f"no answer for {within_s:g} s")
    thread.join()
    done.close()
    if raised:
        raise raised[0]
    return found[0]
