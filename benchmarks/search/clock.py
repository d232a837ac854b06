"""An asynchronous study on a virtual clock: so many workers, each asking for a trial whenever its last one ends.

Rules: whoever asks sees the trials that ended by then and the points of those that run, never a value from later; a
trial's duration depends on its problem, seed and number alone, so that every method meets the same.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import nan
from random import Random
from typing import Any

from celeriac.domain.records import Fault

#: Log-normal with median 1: one trial in six takes more than 1.6 times the median, one in forty more than 2.6 times.
DURATION_SIGMA = 0.5


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial that runs."""

    number: int
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """A trial that ended, at a virtual moment, with what was observed: a loss, or (then NaN) the fault that ended
    it.
    """

    trial: Trial
    loss: float
    at: float
    fault: Fault | None = None


Ask = Callable[[Sequence[Ended], Sequence[Trial]], dict[str, Any]]


def duration(problem: str, seed: int, number: int) -> float:
    """How long a trial takes."""
    return Random(f"duration/{problem}/{seed}/{number}").lognormvariate(0.0, DURATION_SIGMA)


def study(
    ask: Ask, evaluate: Callable[[Trial], float | Fault], duration: Callable[[int], float], workers: int, budget: int
) -> Iterator[Ended]:
    """The study's `budget` trials in the order of their ends; `ask` gets the ended ones, and those that run by number.

    A trial that fails takes as long as it would have, and is one of the budget.
    """
    ended: list[Ended] = []
    running: list[tuple[float, int, Trial]] = []
    now = 0.0
    for number in range(budget):
        if len(running) == workers:
            now, _, done = heapq.heappop(running)
            ended.append(_ended(done, evaluate(done), now))
            yield ended[-1]
        pending = sorted((trial for _, _, trial in running), key=lambda trial: trial.number)
        trial = Trial(number, ask(tuple(ended), pending))
        heapq.heappush(running, (now + duration(number), number, trial))
    while running:
        now, _, done = heapq.heappop(running)
        yield _ended(done, evaluate(done), now)


def _ended(trial: Trial, found: float | Fault, at: float) -> Ended:
    return Ended(trial, nan, at, found) if isinstance(found, Fault) else Ended(trial, found, at)
