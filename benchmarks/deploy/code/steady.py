"""An objective for proofs of deployments: it counts steps, a checkpoint each, and its score says whether one is missing
or was done twice.
"""

import time
from functools import partial
from pathlib import Path

from celeriac import Result, Trial

STEPS, STEP_S = 40, 0.5


def count(trial: Trial) -> Result:
    """STEPS, whoever interrupts it."""
    return _counted(trial, STEPS)


def briefly(trial: Trial) -> Result:
    """The same, for as many as a trial of a few seconds has."""
    return _counted(trial, 6)


def _counted(trial: Trial, steps: int) -> Result:
    done = int(Path(trial.checkpoint).read_text()) if trial.checkpoint else 0
    for step in range(trial.start, steps):
        time.sleep(STEP_S)
        done += 1
        trial.report(done, step=step, checkpoint=partial(_write, str(done)))
    return Result(done)


def _write(text: str, path: str) -> None:
    Path(path).write_text(text)
