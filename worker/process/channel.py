"""The trial's end of the socket between its process and the runner."""

import os
import select
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from celeriac.trial import PREEMPT, STOP
from worker.process.frames import Inbox, encode

_READ_BYTES = 65_536
GO = "go"
REGROUP = "regroup"
# What a judged report may wait for its answer, which takes some milliseconds: a share of the step's own time, and
# never long.
WAIT_SHARE = 0.25
MOST_WAIT_S = 2.0


class SocketChannel:
    """`celeriac.trial.Channel` for the service.

    `words` and `answered` are what was said to single trials of a pack: `worker.process.pack_channel` speaks for them.
    In a `judged` trial each report waits for the runner's answer, so that one which is stopped ends with the report
    that decided it,
    and not an epoch later: at most WAIT_SHARE of the time since the report before, so that quick reports never wait.
    """

    def __init__(self, channel: socket.socket) -> None:
        self.judged = False
        self.regroup = False
        self.words: dict[int, str] = {}
        self.answered: dict[int, int] = {}
        self._answered = -1
        self._alone = False
        self._reported_at = time.monotonic()
        self._socket = channel
        self._pid = os.getpid()
        self._inbox = Inbox()
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._word: str | None = None

    def job(self) -> dict[str, Any] | None:
        """Wait for the job; None when the runner has gone."""
        while True:
            data = self._socket.recv(_READ_BYTES)
            if not data:
                return None
            messages = list(self._inbox.feed(data))
            if messages:
                self._hear(messages[1:])
                return messages[0]

    def send(self, message: dict[str, Any]) -> None:
        """Send one frame, waiting for the runner to take it. Raises FrameTooLarge."""
        self.send_alone(message)
        if self.judged and message["kind"] == "report":
            now = time.monotonic()
            self._await_answer(message["step"], now + min(WAIT_SHARE * (now - self._reported_at), MOST_WAIT_S))
            self._reported_at = time.monotonic()

    def poll(self) -> str | None:
        """The newest word of control; a hand-back outranks a stop, since it must not cost the trial.

        A process that the objective forked takes nothing from the socket: the words are for the trial's own.
        """
        while os.getpid() == self._pid and self._poll.poll(0):
            data = self._socket.recv(_READ_BYTES)
            if not data:
                self._alone = True  # the runner is gone, and this process goes with it
                break
            self._hear(self._inbox.feed(data))
        return self._word

    def _await_answer(self, step: int, until: float) -> None:
        while self.poll() is None and self._answered < step and not self._alone:
            left_ms = (until - time.monotonic()) * 1000
            if left_ms < 1 or not self._poll.poll(left_ms):
                return

    def _hear(self, messages: Iterable[dict[str, Any]]) -> None:
        for message in messages:
            if message.get("kind") != "control":
                continue
            if "trial" in message:
                self._hear_of(message["trial"], message)
            elif message.get("word") == GO:
                self._answered = max(self._answered, message["step"])
            elif message.get("word") == REGROUP:
                self.regroup = True
            elif self._word != PREEMPT:
                self._word = PREEMPT if message.get("word") == PREEMPT else STOP

    def _hear_of(self, trial: int, message: dict[str, Any]) -> None:
        """A word for one trial of a pack."""
        if message.get("word") == GO:
            self.answered[trial] = max(self.answered.get(trial, -1), message["step"])
        else:
            self.words.setdefault(trial, STOP)

    def send_alone(self, message: dict[str, Any]) -> None:
        """Send one frame and wait for no answer. Raises FrameTooLarge."""
        self._socket.sendall(encode(message))

    def wait_until(self, heard: Callable[[], bool], until: float) -> None:
        """Listen until then, or until `heard` says so; at once when the runner is gone."""
        while not heard() and not self._alone:
            left_ms = (until - time.monotonic()) * 1000
            if left_ms < 1 or not self._poll.poll(left_ms):
                return
            self.poll()
