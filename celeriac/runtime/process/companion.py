"""A process of ours that answers one question after the other, over a socket pair that nobody else has.

Rules: nothing here waits for it longer than it is told, whatever it does; it holds nothing but caches, so it can be
killed at any moment. It is started as `COMMAND FD STARTER`, and itself calls `die_with_parent(STARTER)` first.
"""

import os
import signal
import struct
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from socket import SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET, socketpair
from typing import Any

import psutil


class Gone(Exception):
    """The process is of no more use; says how it ended, as the end of "the process …"."""


class Companion:
    """The process and the line to it. It belongs to the process that started it (`owner`)."""

    def __init__(self, command: Sequence[str], *, pipe_s: float) -> None:
        """Start it. Never raises: one that cannot be started is Gone when it is asked.

        pipe_s: how long one read or write of the socket may take; it may stop in the middle of a message.
        """
        self.owner, self._failed = os.getpid(), ""
        self._process: subprocess.Popen[bytes] | None = None
        ours, theirs = socketpair()
        limit = struct.pack("ll", int(pipe_s), int(pipe_s % 1 * 1_000_000))
        for option in (SO_SNDTIMEO, SO_RCVTIMEO):
            ours.setsockopt(SOL_SOCKET, option, limit)
        self.connection: Connection[Any, Any] = Connection(ours.detach())
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [*command, str(theirs.fileno()), str(self.owner)],
                    stdin=subprocess.DEVNULL,
                    stdout=2,  # what libraries print is log
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            except OSError as error:
                self._failed = f"cannot be started ({error})"

    @property
    def pid(self) -> int:
        """Its process id; 0 when it could not be started."""
        return 0 if self._process is None else self._process.pid

    @property
    def rss_bytes(self) -> int:
        """Its resident memory; 0 when it has ended."""
        with suppress(psutil.Error):
            return int(psutil.Process(self.pid).memory_info().rss)
        return 0

    def send(self, question: Any) -> None:
        """Ask. Raises Gone."""
        try:
            self.connection.send(question)
        except OSError as error:
            raise Gone(self._how_it_ended()) from error

    def receive(self, timeout_s: float = 0.0) -> Any:
        """The answer. Raises TimeoutError when none has come in time, Gone."""
        if not self.connection.poll(timeout_s):
            raise TimeoutError
        try:
            return self.connection.recv()
        except (OSError, EOFError) as error:
            raise Gone(self._how_it_ended()) from error

    def end(self, within_s: float = 0.0) -> int | None:
        """Close the line, at which it ends by itself; kill it if it has not `within_s`. Returns its exit status."""
        self.connection.close()
        if self._process is None:
            return None
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(within_s)
        self._process.kill()
        return self._process.wait()

    def _how_it_ended(self) -> str:
        if self._process is None:
            return self._failed
        try:
            status = self._process.wait(1.0)  # a process whose socket is closed is about to end
        except subprocess.TimeoutExpired:
            return "did not read or write any more"
        return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
