"""What a Celery worker's main process tells its pool process: stop now (a drain), and who was revoked.

Celery tells the pool process nothing of a warm shutdown, and only a bare SIGTERM of a revoke. So two pipes are made
before the fork: one that is written to once, and stays readable for every pool process to come, and one with a line
for each revoked ticket. A SIGTERM alone never cancels a trial: only a revoke that was written down does.
"""

import json
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TypeVar

from celeriac.domain.messages import RunTrial, decode, encode
from worker.attempt.wakeup import Wakeup, wait

T = TypeVar("T")

_PIPE_BYTES = 65_536  # all that a pipe holds: what is read are whole lines, since each was written at once


class Unanswered(Exception):
    """It did not come back in time, or an order to stop came first."""


class Control:
    """Both ends of the pipes; the main process writes, the pool process reads."""

    def __init__(self) -> None:
        self._drain, self._drain_end = os.pipe()
        self._revoked, self._revoked_end = os.pipe()
        for descriptor in (self._revoked, self._revoked_end, self._drain_end):
            os.set_blocking(descriptor, False)
        self._terminated = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.terminated = False
        self._draining = False

    # -- the main process ------------------------------------------------------------------------------------------
    def drain(self) -> None:
        """Have the running trial handed back, and no other begun. Safe in a signal handler, and again."""
        with suppress(BlockingIOError):
            os.write(self._drain_end, b".")

    def revoke(self, ticket: RunTrial) -> None:
        """Write down that a user revoked this ticket; call it right after the signal, or before."""
        with suppress(BlockingIOError):  # full: nobody reads, so nobody runs what could be revoked
            os.write(self._revoked_end, json.dumps(encode(ticket)).encode() + b"\n")

    # -- the pool process ------------------------------------------------------------------------------------------
    @property
    def drain_fd(self) -> int:
        """Readable for ever once a drain was ordered."""
        return self._drain

    @property
    def terminated_fd(self) -> int:
        """Readable when SIGTERM came during `sigterm_as_event`."""
        return self._terminated

    def draining(self) -> bool:
        """Whether a drain was ordered."""
        self._draining = self._draining or _readable(self._drain, 0.0)
        return self._draining

    def stopped(self) -> bool:
        """Whether this slot's work is to end: by a drain, or by a SIGTERM during `sigterm_as_event`."""
        return self.terminated or self.draining()

    def pause(self, within_s: float) -> None:
        """Wait so long, or until an order to stop comes."""
        wait([self._drain, self._terminated], within_s)

    def in_time(self, read: Callable[[], T], *, within_s: float, grace_s: float = 0.0) -> T:
        """What `read` returns or raises; for files that may never answer, as on a directory that hangs.

        Raises Unanswered when the time is over, or an order to stop came `grace_s` ago. The thread that reads is left
        to itself then, and what it finds is dropped.
        """
        answer: Future[T] = Future()
        done = Wakeup()

        def work() -> None:
            try:
                answer.set_result(read())
            except BaseException as error:
                answer.set_exception(error)
            done.set()

        thread = threading.Thread(target=work, name="reader", daemon=True)
        thread.start()
        wait([done.fileno(), self.drain_fd, self.terminated_fd], within_s)
        if not answer.done() and grace_s and self.stopped():
            wait([done.fileno()], grace_s)
        if not answer.done():
            raise Unanswered("this worker was told to stop" if self.stopped() else f"no answer for {within_s:g} s")
        thread.join()
        done.close()
        return answer.result()

    def revoked(self, ticket: RunTrial, within_s: float) -> bool:
        """Whether a revoke of this ticket was written down; waits a moment for it, since the signal may be faster."""
        deadline = time.monotonic() + within_s
        while _readable(self._revoked, max(0.0, deadline - time.monotonic())):
            lines = os.read(self._revoked, _PIPE_BYTES).splitlines()
            if any(decode(json.loads(line)) == ticket for line in lines):
                return True
        return False

    @contextmanager
    def sigterm_as_event(self) -> Iterator[None]:
        """While a trial runs, SIGTERM is an event for the runner's loop and not an exception at some line of it."""
        self.terminated = False

        def note(number: int, frame: FrameType | None) -> None:
            self.terminated = True
            os.eventfd_write(self._terminated, 1)

        before = signal.signal(signal.SIGTERM, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
            with suppress(BlockingIOError):
                os.eventfd_read(self._terminated)

    def close(self) -> None:
        """Give the descriptors back."""
        for descriptor in (self._drain, self._drain_end, self._revoked, self._revoked_end, self._terminated):
            os.close(descriptor)


def _readable(descriptor: int, within_s: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(within_s * 1000))
