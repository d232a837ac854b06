"""Objectives for benchmarks: with torch imported, as a real training script has it, and nothing to learn."""

import time

import torch

from celeriac import Result, Trial

TORCH = torch.__version__


def timed(trial: Trial) -> Result:
    """Say when the first line ran and when the function returned, by the machine's monotonic clock."""
    first = time.monotonic()
    time.sleep(float(trial.params["rest"]))
    return Result(float(trial.params["x"]), metrics={"first": first, "last": time.monotonic()})


def noop(trial: Trial) -> float:
    """Return at once."""
    return float(trial.params["x"])
