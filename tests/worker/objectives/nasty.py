"""Objectives that do not end by themselves, or leave something behind. `trial.context["pids"]` is where they tell
process ids.
"""

import atexit
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from celeriac.trial import Trial, TrialStopped


def sleeps(trial: Trial) -> float:
    print("asleep", flush=True)
    while True:
        time.sleep(3600)


def lingers(trial: Trial) -> float:
    """A score, and a farewell that has no end."""
    atexit.register(time.sleep, 3600)
    return float(os.getpid())


def ignores_term(trial: Trial) -> float:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return sleeps(trial)


def escapes(trial: Trial) -> float:
    """A grandchild in a session of its own, deaf to TERM, and a program started through exec."""
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0:
            _tell(trial, os.getpid())
            time.sleep(3600)
        os._exit(0)
    os.wait()
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=True)
    _tell(trial, program.pid)
    while len(Path(trial.context["pids"]).read_text().split()) < 2:
        time.sleep(0.01)
    program.returncode = 0  # left behind on purpose: Popen need not warn of it
    return 1.0


def escapes_and_sleeps(trial: Trial) -> float:
    escapes(trial)
    return sleeps(trial)


def reports_from_a_fork(trial: Trial) -> float:
    pid = os.fork()
    if pid == 0:
        try:
            trial.report(1.0, step=0)
        except RuntimeError:
            os._exit(7)
        os._exit(0)
    return float(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def comes_back_from_a_fork(trial: Trial) -> float:
    """A forked process leaves the objective as `how` says; the score is its exit code."""
    pid = os.fork()
    if pid == 0:
        if trial.params["how"] == "raise":
            raise ValueError("in the fork")
        if trial.params["how"] == "exit":
            sys.exit(7)
        if trial.params["how"] == "stop":
            raise TrialStopped
        return 0.99
    return float(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def steps(trial: Trial) -> float:
    """Reports for ever, one step a turn, so that it can be asked to stop; with checkpoints if `saves`."""
    step = trial.start
    while True:
        save = partial(_save, step) if trial.params.get("saves") else None
        trial.report(float(step), step=step, checkpoint=save)
        step += 1
        time.sleep(0.01)


def swallows(trial: Trial) -> float:
    """Catches every Exception around its report, as careless scripts do."""
    step = 0
    while True:
        try:
            trial.report(0.0, step=step)
        except Exception:
            print("swallowed")
        step += 1
        time.sleep(0.01)


def asks(trial: Trial) -> float:
    while not trial.should_stop:
        time.sleep(0.01)
    return 0.123


def fills_the_disk(trial: Trial) -> float:
    def save(path: str) -> None:
        with open("/dev/full", "w") as full:
            full.write("x")

    trial.report(0.5, step=0, checkpoint=save)
    return 0.5


def raises_to_stop(trial: Trial) -> float:
    raise TrialStopped


def _save(step: int, path: str) -> None:
    Path(path).write_text(f"step {step}")


def _tell(trial: Trial, pid: int) -> None:
    with Path(trial.context["pids"]).open("a") as file:
        file.write(f"{pid}\n")
