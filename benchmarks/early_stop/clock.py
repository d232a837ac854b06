"""One study on a virtual clock: so many workers train trial after trial, epoch by epoch, and a stopper hears every
report in time's order.
"""

import heapq
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from benchmarks.early_stop.curves import Curves


class Stopper(Protocol):
    """What decides who is stopped."""

    def stops(self, number: int, epoch: int, value: float) -> bool:
        """Whether the trial of this number, whose value is this after so many epochs, is stopped here; never asked at
        the last epoch.
        """


@dataclass(frozen=True)
class Outcome:
    """What came of a study, and what it cost.

    A training that came to its end is scored with its best epoch, as `examples/digits` does; `score` is the best of
    them, `test` the hold-out accuracy of that very epoch, and `last` the best value of a last epoch. `device_s` is the
    workers' time altogether, `wall_s` from the first start to the last end, both on the virtual clock.
    """

    score: float
    test: float
    last: float
    finished: int
    epochs: int
    device_s: float
    wall_s: float


def study(curves: Curves, stopper: Stopper, order: np.ndarray, workers: int) -> Outcome:
    """Train the trainings of `order`, the trial's number being the place in it. Raises ValueError when none came to
    its end.
    """
    running: list[tuple[float, int, int]] = []
    begun, epochs, device_s, now = 0, 0, 0.0, 0.0
    final: list[int] = []
    while running or begun < len(order):
        while len(running) < workers and begun < len(order):
            heapq.heappush(running, (now + curves.seconds[order[begun]], begun, 1))
            begun += 1
        now, number, epoch = heapq.heappop(running)
        training = int(order[number])
        epochs, device_s = epochs + 1, device_s + curves.seconds[training]
        if epoch == curves.epochs:
            final.append(training)
        elif not stopper.stops(number, epoch, float(curves.value[training, epoch - 1])):
            heapq.heappush(running, (now + curves.seconds[training], number, epoch + 1))
    if not final:
        raise ValueError(f"{curves.name}: no training came to its end")
    best = max(final, key=lambda each: curves.value[each].max())
    at = int(curves.value[best].argmax())
    return Outcome(
        score=float(curves.value[best, at]),
        test=float(curves.test[best, at]),
        last=float(curves.value[final, -1].max()),
        finished=len(final),
        epochs=epochs,
        device_s=float(device_s),
        wall_s=float(now),
    )


def order_of(curves: Curves, trials: int, seed: int) -> np.ndarray:
    """Which trainings a study tries, in which order: the same for every stopper."""
    return np.random.default_rng(seed).permutation(len(curves.value))[:trials]
