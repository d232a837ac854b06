"""Objectives that give a model: whole, or not."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from celeriac.trial import Result, Trial


def gives(trial: Trial) -> Result:
    """The score is the parameter x; the model is what `how` says."""
    return Result(trial.params["x"], model=_SAVES[trial.params.get("how", "whole")](trial))


def forgets(trial: Trial) -> float:
    return float(trial.params["x"])


def _whole(trial: Trial) -> Callable[[str], object]:
    return lambda path: Path(path).write_text(f"model of {trial.number} by {trial.params['x']}")


def _nothing(trial: Trial) -> Callable[[str], object]:
    return lambda path: None


def _empty(trial: Trial) -> Callable[[str], object]:
    return lambda path: Path(path).touch()


def _huge(trial: Trial) -> Callable[[str], object]:
    return lambda path: Path(path).write_bytes(bytes(2_000_000))


def _raises(trial: Trial) -> Callable[[str], object]:
    def save(path: str) -> None:
        Path(path).write_text("half")
        raise TypeError("cannot pickle a lock")

    return save


def _dies(trial: Trial) -> Callable[[str], object]:
    def save(path: str) -> None:
        Path(path).write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)

    return save


def _hangs(trial: Trial) -> Callable[[str], object]:
    return lambda path: time.sleep(1000)


def _exits(trial: Trial) -> Callable[[str], object]:
    return lambda path: os._exit(3)


_SAVES = {
    "whole": _whole,
    "nothing": _nothing,
    "empty": _empty,
    "huge": _huge,
    "raises": _raises,
    "dies": _dies,
    "hangs": _hangs,
    "exits": _exits,
}
