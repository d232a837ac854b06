"""Walks as of `benchmarks/gpus/walking`, several in one process: each one's end is decided by its own seed and steps.

A walk whose `x` is over BAD ends as NaN at step FAILS_AT. Each step is a line in a file: the process, and how many
steps it has made before.
"""

import json
import os
import random
import time
from pathlib import Path

from celeriac import Pack

STEPS, EACH, BAD, FAILS_AT = 18, 3, 1.8, 5


def objective(pack: Pack) -> list[float]:
    """Walk STEPS steps, with a checkpoint after each EACH of them."""
    walks = [(random.Random(trial.seed), 0.0) for trial in pack.trials]
    for place, trial in enumerate(pack.trials):
        if trial.checkpoint:
            at, state = json.loads(Path(trial.checkpoint).read_text())
            walks[place][0].setstate((state[0], tuple(state[1]), state[2]))
            walks[place] = (walks[place][0], at)
    told = pack.trials[0].params["told"] or os.devnull
    for step in range(pack.start, STEPS):
        time.sleep(pack.trials[0].params["step_s"])
        if step == FAILS_AT:
            going = pack.active
            for trial in going:
                if trial.params["x"] > BAD:
                    trial.finish(float("nan"))  # three bugs alike in a row would pause the study
            walks = [walk for walk, trial in zip(walks, going, strict=True) if trial.active]
        walks = [
            (numbers, at + numbers.gauss(0, trial.params["x"]))
            for (numbers, at), trial in zip(walks, pack.active, strict=True)
        ]

        def save(place: int, path: str, walks: list[tuple[random.Random, float]] = walks) -> None:
            Path(path).write_text(json.dumps([walks[place][1], walks[place][0].getstate()]))

        with open(told, "a") as file:
            file.write(f"{os.getpid()} {step - pack.start}\n")
        kept = pack.report([at for _, at in walks], step=step, checkpoint=save if (step + 1) % EACH == 0 else None)
        walks = [walks[place] for place in kept]
    return [at for _, at in walks]
