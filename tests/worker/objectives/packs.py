"""Objectives of packs: what a trial comes to is told by its own parameters."""

import os
import time
from pathlib import Path

from celeriac import Pack

STEPS = 4


def steps(pack: Pack) -> list[float]:
    """Each trial counts its own steps from its own checkpoint, and does what its parameters say at a step of theirs."""
    sums = {trial.number: float(Path(trial.checkpoint).read_text()) if trial.checkpoint else 0.0 for trial in pack}
    for step in range(pack.start, STEPS):
        going = pack.active
        for trial in going:
            sums[trial.number] += trial.params["x"]
            acts(trial, step, sums[trial.number])
        going = pack.active

        def save(place: int, path: str, going: tuple = going) -> None:  # type: ignore[type-arg]
            Path(path).write_text(str(sums[going[place].number]))

        if going:
            print(f"step {step} of {[trial.number for trial in going]}")
            pack.report([sums[trial.number] for trial in going], step=step, checkpoint=save)
    return [sums[trial.number] for trial in pack.active]


def acts(trial, step: int, so_far: float) -> None:  # type: ignore[no-untyped-def]
    """What this trial does at this step beside training."""
    params = trial.params
    if params.get("at") != step:
        return
    if params["act"] == "fail":
        trial.fail(KeyError("no such column"))
    elif params["act"] == "finish":
        trial.finish(so_far)
    elif params["act"] == "nan":
        trial.finish(float("nan"))
    elif params["act"] == "raise":
        raise ValueError("whose was it?")
    elif params["act"] == "memory":
        raise MemoryError("too many at once")
    elif params["act"] == "hold" and trial.attempt == 1:
        Path(params["held"]).write_text(str(os.getpid()))
        while not Path(params["go"]).exists():
            time.sleep(0.01)


def until_one_is_stopped(pack: Pack) -> list[float]:
    """After the first rung, wait until some trial is to stop; the others go on."""
    for step in range(STEPS):
        pack.report([trial.params["x"] for trial in pack.active], step=step)
        while step == 1 and not any(trial.should_stop for trial in pack.trials):
            time.sleep(0.01)
    return [trial.params["x"] for trial in pack.active]


def short_of_memory(pack: Pack) -> list[float]:
    """Memory is enough for two trials at once."""
    if len(pack) > 2:
        raise MemoryError(f"{len(pack)} are too many")
    return [trial.params["x"] for trial in pack]


def wrong_count(pack: Pack) -> list[float]:
    """One score too few."""
    return [0.0] * (len(pack) - 1)
