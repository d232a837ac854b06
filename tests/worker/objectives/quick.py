"""Objectives that end at once, well or badly: one for each way in which a score can be none."""

import ctypes
import os
import signal
import sys
import threading
import time
from typing import Any

from celeriac.trial import Result, Trial, own_process_group

kept: list[Any] = []


def timed(trial: Trial) -> Result:
    first_line_s = time.monotonic()
    return Result(1.0, metrics={"first_line_s": first_line_s, "last_line_s": time.monotonic()})


def good(trial: Trial) -> float:
    return float(trial.params["x"]) * 2


def rich(trial: Trial) -> Result:
    trial.report(0.5, step=0, metrics={"loss": 0.25, "phase": "warm"})
    trial.report(float("nan"), step=3)
    return Result(0.75, metrics={"holdout": 0.7}, step=3, holdout=[0.5, 1.0], drift=0.125)


def raises(trial: Trial) -> float:
    return _deeper({})


def _deeper(table: dict[str, float]) -> float:
    return table["missing"]


def returns(trial: Trial) -> Any:
    return {
        "string": "abc",
        "nothing": None,
        "nan": float("nan"),
        "infinite": float("-inf"),
        "bool": True,
        "list": [1.0],
        "huge": 10**400,
        "metrics": Result(1.0, metrics={"bad": [1]}),
        "megabytes": Result(1.0, metrics={"bad": "x" * 2_000_000}),
    }[trial.params["what"]]


def prints(trial: Trial) -> float:
    for number in range(20_000):
        print(f"line {number:06d} " + "x" * 88)
    os.write(2, b"raw stderr\n")
    ctypes.CDLL(None).puts(b"from C")
    return 1.0


def exits(trial: Trial) -> float:
    sys.exit(3)


def leaves(trial: Trial) -> float:
    os._exit(4)


def interrupts(trial: Trial) -> float:
    raise KeyboardInterrupt


def dies(trial: Trial) -> float:
    os.kill(os.getpid(), signal.Signals[trial.params["signal"]])
    return 1.0


def out_of_memory(trial: Trial) -> float:
    raise MemoryError("no more")


def loses_its_server(trial: Trial) -> float:
    os.kill(os.getppid(), signal.SIGKILL)
    return 1.0


def leaves_a_thread(trial: Trial) -> float:
    threading.Thread(target=threading.Event().wait).start()
    return 1.0


def random_numbers(trial: Trial) -> Result:
    import random

    return Result(random.random(), metrics={"seed": trial.seed})


def environment(trial: Trial) -> Result:
    return Result(float(len(os.environ)), metrics=dict(os.environ))


@own_process_group
def one_of_several(trial: Trial) -> float:
    """A member's part that lasts until its round is over."""
    threading.Event().wait()
    return 0.0
