"""The trainings: a score after each epoch, and how long an epoch takes. Both sets are real networks on scikit-learn's
digits.

table    384 networks x 81 epochs, trained once and shipped (`benchmarks/data/learning_curves_digits.npz`)
digits   the network of `examples/digits` over its own search space, 192 x 27 epochs, trained here and kept in
         `build/bench`
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "benchmarks" / "data" / "learning_curves_digits.npz"
DIGITS = ROOT / "build" / "bench" / "early_stop_digits.npz"
TRAININGS, EPOCHS = 192, 27


@dataclass(frozen=True)
class Curves:
    """`value` and `test` are accuracies (trainings x epochs), `seconds` CPU seconds an epoch of each training takes."""

    name: str
    value: np.ndarray
    test: np.ndarray
    seconds: np.ndarray

    @property
    def epochs(self) -> int:
        """How many epochs a whole training has."""
        return int(self.value.shape[1])


def table() -> Curves:
    """The shipped ones."""
    return _read("table", TABLE)


def digits(say: Callable[[str], None] = print) -> Curves:
    """Those of the example's own network, trained when they are not there yet (some minutes)."""
    if not DIGITS.exists():
        say(f"training {TRAININGS} networks of examples/digits for {EPOCHS} epochs each, once")
        DIGITS.parent.mkdir(parents=True, exist_ok=True)
        _train(DIGITS, say)
    return _read("digits", DIGITS)


def _read(name: str, path: Path) -> Curves:
    with np.load(path) as kept:
        return Curves(name, kept["val"].astype(float), kept["test"].astype(float), kept["sec"].astype(float))


def _train(path: Path, say: Callable[[str], None]) -> None:
    import torch

    from celeriac.domain.study_file import load

    torch.set_num_threads(1)
    space, rng = load(ROOT / "examples" / "digits" / "study.yaml").space, Random(0)
    value, test = np.zeros((TRAININGS, EPOCHS)), np.zeros((TRAININGS, EPOCHS))
    seconds = np.zeros(TRAININGS)
    for number in range(TRAININGS):
        began = time.process_time()
        for epoch, (val, held_out) in enumerate(_trained(space.sample(rng), number)):
            value[number, epoch], test[number, epoch] = val, held_out
        seconds[number] = (time.process_time() - began) / EPOCHS
        if number % 32 == 31:
            say(f"  {number + 1} of {TRAININGS}")
    np.savez_compressed(
        path, val=value.astype(np.float32), test=test.astype(np.float32), sec=seconds.astype(np.float32)
    )


def _trained(params: dict[str, Any], seed: int) -> list[tuple[float, float]]:
    """Validation and test accuracy after each epoch."""
    import torch

    from examples.digits import train

    torch.manual_seed(seed)
    parts = [[torch.from_numpy(each) for each in part] for part in train.DATA]
    model = train.network(params)
    optimizer = train.optimiser(model, params)
    scores = []
    for epoch in range(EPOCHS):
        torch.manual_seed(seed + epoch)
        train.train_one_epoch(model, optimizer, *parts[0])
        scores.append((train.accuracy(model, *parts[1]), train.accuracy(model, *parts[2])))
    return scores
