"""`python -m tests.coordinator.suggest.odd_suggester DIRECTORY FD PARENT`: a suggester whose grid sampler does what
the study's seed says.

It tells in the fifo `DIRECTORY/says`, a word a line, what it has come to, and waits for the fifo `DIRECTORY/go`.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from celeriac.domain.space import Space
from coordinator import samplers
from coordinator.samplers import sampler_for
from coordinator.samplers.api import Observation, Point, Proposal
from coordinator.suggest import program

WAITS, DIES, DIES_ONCE, EXITS, GROWS, RAISES, STOPS = range(101, 108)


def main(argv: list[str]) -> int:
    """As the real one, with one sampler exchanged."""
    odd = Odd(Path(argv[0]))
    vars(samplers)["sampler_for"] = lambda name: odd.suggest if name == "grid" else sampler_for(name)
    return program.main(argv[1:])


class Odd:
    """The sampler."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def suggest(
        self, space: Space, observations: Sequence[Observation], pending: Sequence[Point], count: int, seed: int
    ) -> list[Proposal]:
        """What the seed says, then random points."""
        what: dict[int, Callable[[], Any]] = {
            WAITS: self._wait,
            DIES: lambda: os.kill(os.getpid(), signal.SIGKILL),
            DIES_ONCE: self._die_once,
            EXITS: lambda: os._exit(3),
            GROWS: self._grow,
            RAISES: lambda: 1 // 0,
            STOPS: lambda: os.kill(os.getpid(), signal.SIGSTOP),
        }
        what.get(seed, lambda: None)()
        return sampler_for("random")(space, observations, pending, count, seed)

    def _wait(self) -> None:
        self._say("waits")
        (self._directory / "go").read_text()

    def _die_once(self) -> None:
        mark = self._directory / "died"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def _grow(self) -> None:
        self._kept = b"x" * 400_000_000
        self._wait()

    def _say(self, word: str) -> None:
        with (self._directory / "says").open("w") as fifo:
            fifo.write(f"{word}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
