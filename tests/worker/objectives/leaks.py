"""Objectives that need more memory than there is: some grow until something ends them, one cuts its batch."""

import os
import resource
import subprocess
import sys
from pathlib import Path

from celeriac import Result, Trial

MIB = 1 << 20


def _note(trial: Trial) -> None:
    """One line for each run of these parameters, in the file that the parameters name."""
    with Path(trial.params["runs"]).open("a") as file:
        file.write(f"{trial.attempt}\n")


def _grow() -> float:
    kept = []
    while True:
        kept.append(bytearray(b"x") * (8 * MIB))


def until_the_rlimit(trial: Trial) -> float:
    """As under `ulimit -v`: Python is told that there is no more."""
    _note(trial)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + 200 * MIB, resource.RLIM_INFINITY))
    return _grow()


def until_it_is_ended(trial: Trial) -> float:
    """Nothing stops it but the service's own limit."""
    _note(trial)
    return _grow()


def in_c_plus_plus(trial: Trial) -> float:
    """What a native library does when `new` fails: it says so and aborts."""
    _note(trial)
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n")
    os.abort()


def in_a_child(trial: Trial) -> float:
    """The leak is in a process that the objective starts: its limit strikes there, and the objective passes it on."""
    _note(trial)
    leak = f"import resource\nresource.setrlimit(resource.RLIMIT_AS, ({300 * MIB}, -1))\nx = bytearray({400 * MIB})"
    done = subprocess.run([sys.executable, "-c", leak], capture_output=True, text=True)
    if "MemoryError" in done.stderr:
        raise MemoryError("a worker of the loader ran out of memory")
    return 1.0


def by_the_plan(trial: Trial) -> Result:
    """A step of more than `fits` samples at once is too much for this device."""
    _note(trial)
    plan = trial.batch_plan(trial.params["batch"], per_device_max=trial.params["batch"])
    if plan.largest > trial.params["fits"]:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    return Result(float(plan.largest), metrics={"steps": plan.steps})
