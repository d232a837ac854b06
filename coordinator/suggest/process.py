"""One suggester process, seen from outside. Rule: nothing here waits for it longer than PIPE_S, whatever it does."""

import os
import signal
import struct
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from socket import SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET, socketpair
from time import monotonic
from typing import Any

import psutil

from coordinator.suggest.messages import SuggestRequest, SuggestResult
from coordinator.suggest.program import Setup

#: A process that is stopped in the middle of a message must not stop the others.
PIPE_S = 5


class Gone(Exception):
    """The process is of no more use; says how it ended, as the end of "the process …"."""


class SuggesterProcess:
    """A process, what it works on (`question`, None: nothing), and for how long it has done so, or nothing (`for_s`).

    It speaks pickled values over a socket pair that nobody else has; it is our own child, started with our own code.
    """

    def __init__(self, command: Sequence[str], setup: Setup) -> None:
        """Start it. Never raises: one that cannot be started is Gone when it is asked."""
        self.question: SuggestRequest | None = None
        self._since, self._failed = monotonic(), ""
        ours, theirs = socketpair()
        for option in (SO_SNDTIMEO, SO_RCVTIMEO):
            ours.setsockopt(SOL_SOCKET, option, struct.pack("ll", PIPE_S, 0))
        self.connection: Connection[Any, SuggestResult] = Connection(ours.detach())
        self._process: subprocess.Popen[bytes] | None = None
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [*command, str(theirs.fileno()), str(os.getpid())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            except OSError as error:
                self._failed = f"cannot be started ({error})"
        with suppress(OSError):  # it is noticed when it is asked
            self.connection.send(setup)

    @property
    def pid(self) -> int:
        """Its process id; 0 when it could not be started."""
        return 0 if self._process is None else self._process.pid

    @property
    def for_s(self) -> float:
        """Seconds since it was asked, or since it answered."""
        return monotonic() - self._since

    @property
    def rss_bytes(self) -> int:
        """Its resident memory; 0 when it has ended."""
        with suppress(psutil.Error):
            return int(psutil.Process(self.pid).memory_info().rss)
        return 0

    def ask(self, question: SuggestRequest) -> None:
        """Let it work on a question. Raises Gone."""
        self.question, self._since = question, monotonic()
        try:
            self.connection.send(question)
        except OSError as error:
            raise Gone(self._end()) from error

    def take(self) -> SuggestResult:
        """The answer that has come; it is free from now on. Raises Gone."""
        try:
            answer = self.connection.recv()
        except (OSError, EOFError) as error:
            raise Gone(self._end()) from error
        self.question, self._since = None, monotonic()
        return answer

    def kill(self) -> None:
        """End it at once: it holds nothing that could be lost."""
        self.connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _end(self) -> str:
        """How it ended: a process whose socket is closed is about to."""
        if self._process is None:
            return self._failed
        try:
            status = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "did not read or write any more"
        if status < 0:
            return f"was killed by {signal.Signals(-status).name}"
        return f"ended with exit status {status}"
