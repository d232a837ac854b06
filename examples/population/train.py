"""A training whose best learning rate falls as it goes: noisy descent into a narrow valley, in plain Python.

A large rate comes down fast and then jumps about; a small one hardly comes down. No constant rate does both.
"""

import json
import random
import time
from functools import partial
from pathlib import Path

from celeriac import Trial

EPOCHS, STEPS = 40, 10
EPOCH_S = 0.25  # as if it took its time: so the members of the population go on side by side
CURVES = [1.0] * 10 + [0.1] * 10 + [0.02] * 10


def objective(trial: Trial) -> float:
    """Descend for EPOCHS epochs, with a checkpoint after each; the height above the valley's floor is the score."""
    place = [10.0] * len(CURVES)
    if trial.checkpoint:
        place = json.loads(Path(trial.checkpoint).read_text())
    for epoch in range(trial.start, EPOCHS):
        numbers = random.Random(f"{trial.seed} {epoch}")
        for _ in range(STEPS):
            place = [
                each - trial.params["lr"] * (curve * each + numbers.gauss(0, 1))
                for each, curve in zip(place, CURVES, strict=True)
            ]
        time.sleep(EPOCH_S)
        trial.report(height(place), step=epoch, checkpoint=partial(write, place))
    return height(place)


def height(place: list[float]) -> float:
    """How far above the floor."""
    return sum(curve * each**2 for each, curve in zip(place, CURVES, strict=True)) / 2


def write(place: list[float], path: str) -> None:
    """All that the training needs to go on; with a torch model, its optimizer's state belongs here too."""
    Path(path).write_text(json.dumps(place))
