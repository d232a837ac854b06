"""Samplers that run in a process of their own, beside the coordinator: see `coordinator.adapters`, which that process
loads.

Rules: the process is started at the first question and serves all studies of this coordinator, one question at a time;
it holds nothing but caches, so one that ended (idle, grown too large, killed) is simply started again, and asked
again. What ends it twice, or takes longer than `ANSWER_S`, fails the sampler, which pauses the study with the reason.
"""

import atexit
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from celeriac.domain.errors import SamplerFailed
from celeriac.domain.space import Space
from coordinator.samplers.api import Observation, Point, Proposal, Sampler

#: A suggester sets it below the limit of its own, so that what takes too long is called by its name.
ANSWER_S = 300.0
PROGRAM = ("-P", "-m", "coordinator.adapters")


def set_limit(answer_s: float) -> None:
    """Within how many seconds a question must be answered."""
    global ANSWER_S
    ANSWER_S = answer_s


def adapted(name: str) -> Sampler:
    """The sampler of that name, as `coordinator.adapters` has it; its library is loaded in the process aside only."""
    kind, _, option = name.partition(":")

    def suggest(
        space: Space, observations: Sequence[Observation], pending: Sequence[Point], count: int, seed: int
    ) -> list[Proposal]:
        question = (f"coordinator.adapters.{kind}", option, space, list(observations), list(pending), count, seed)
        found: list[Proposal] = _aside.ask(question)
        return found

    return suggest


class _Aside:
    """The process and the line to it; it belongs to the process that started it, and a fork starts its own."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None
        self._owner = 0

    def ask(self, question: tuple[Any, ...]) -> Any:
        """The answer to a question. Raises SamplerFailed."""
        for _ in range(2):  # it may have left between two questions, or been killed once
            try:
                answer, flaw = self._asked(question)
            except (EOFError, BrokenPipeError, ConnectionResetError):
                status = self.close()
                continue
            if flaw:
                raise SamplerFailed(flaw)
            return answer
        raise SamplerFailed(
            f"its process ended twice before it answered (status {status}; -9 is most often the host out of memory)"
        )

    def close(self) -> int | None:
        """End the process, which sees its line closed, and return its status; one that is still busy is killed."""
        process, line = self._process, self._line
        self._process = self._line = None
        if process is None or line is None or self._owner != os.getpid():
            return None
        line.close()
        try:
            return process.wait(2.0)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _asked(self, question: tuple[Any, ...]) -> tuple[Any, str]:
        """The answer, and what went wrong."""
        line = self._started()
        line.send(question)
        if line.poll(ANSWER_S):
            answer: tuple[Any, str] = line.recv()
            return answer
        self.close()
        return None, f"its process did not answer within {ANSWER_S:g} s and was ended"

    def _started(self) -> Connection:
        if self._line is not None and self._owner == os.getpid():
            return self._line
        mine, theirs = socket.socketpair()
        with theirs:
            arguments = [sys.executable, *PROGRAM, str(theirs.fileno()), str(os.getpid())]
            self._process = subprocess.Popen(
                arguments,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what libraries print is log, and belongs with this program's
                start_new_session=True,
            )
        self._line, self._owner = Connection(mine.detach()), os.getpid()
        return self._line


_aside = _Aside()
atexit.register(_aside.close)
