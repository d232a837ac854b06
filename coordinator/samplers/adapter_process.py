"""Samplers that run in a process of their own, beside the coordinator: see `coordinator.adapters`, which that process
loads.

Rules: the process is started at the first question and serves all studies of this coordinator, one question at a time;
it holds nothing but caches, so one that ended (idle, grown too large, killed) is simply started again, and asked
again. What ends it twice, or takes longer than `ANSWER_S`, fails the sampler, which pauses the study with the reason.
"""

import atexit
import os
import sys
from collections.abc import Sequence
from typing import Any

from celeriac.domain.errors import SamplerFailed
from celeriac.domain.space import Space
from celeriac.runtime.process.companion import Companion, Gone
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
    """The process, started when there is a question; a fork of this process starts its own."""

    def __init__(self) -> None:
        self._companion: Companion | None = None

    def ask(self, question: tuple[Any, ...]) -> Any:
        """The answer to a question. Raises SamplerFailed."""
        for _ in range(2):  # it may have left between two questions, or been killed once
            companion = self._started()
            try:
                companion.send(question)
                answer, flaw = companion.receive(ANSWER_S)
            except TimeoutError as error:
                self.close()
                raise SamplerFailed(f"its process did not answer within {ANSWER_S:g} s and was ended") from error
            except Gone:
                status = self.close()
                continue
            if flaw:
                raise SamplerFailed(flaw)
            return answer
        raise SamplerFailed(
            f"its process ended twice before it answered (status {status}; -9 is most often the host out of memory)"
        )

    def close(self) -> int | None:
        """End the process, if it is ours, and return its status; one that is still busy is killed."""
        companion, self._companion = self._companion, None
        return companion.end(2.0) if companion is not None and companion.owner == os.getpid() else None

    def _started(self) -> Companion:
        if self._companion is None or self._companion.owner != os.getpid():
            self._companion = Companion([sys.executable, *PROGRAM], pipe_s=ANSWER_S)
        return self._companion


_aside = _Aside()
atexit.register(_aside.close)
