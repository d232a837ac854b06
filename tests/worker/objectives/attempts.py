"""Objectives for whole attempts: they wait, hide processes, write checkpoints, and are found at it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from celeriac.trial import Trial, TrialStopped


def sleeps(trial: Trial) -> float:
    print("asleep", flush=True)
    time.sleep(3600)
    return 1.0


def sleeps_deaf(trial: Trial) -> float:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return sleeps(trial)


def hides_a_process(trial: Trial) -> float:
    """Leave a process that is in a session of its own, ignores TERM, and whose parent is gone; then go on."""
    hidden = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(3600)"
    )
    starter = (
        f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {hidden!r}], stdout=subprocess.PIPE,"
        " stderr=subprocess.DEVNULL, start_new_session=True); p.stdout.readline(); print(p.pid)"
    )
    done = subprocess.run([sys.executable, "-c", starter], capture_output=True, text=True, check=True)
    Path(trial.params["file"]).write_text(done.stdout)
    if trial.params.get("then") == "sleep":
        time.sleep(3600)
    return 1.0


def steps(trial: Trial) -> float:
    """Report five steps with checkpoints; the value grows, and at `fail_at` in the first attempt the process dies."""
    value = 0.0
    if trial.checkpoint:
        value = float(Path(trial.checkpoint).read_text())
    for step in range(trial.start, 5):
        value += 1.0
        text = str(value)
        trial.report(value, step=step, checkpoint=lambda path, text=text: Path(path).write_text(text))  # type: ignore[misc]
        if trial.attempt == 1 and step == trial.params.get("fail_at"):
            os.kill(os.getpid(), signal.SIGKILL)
    return value


def trains_on(trial: Trial) -> float:
    """Report for ever, with checkpoints if `saves` says so, and mark in a file that the first report is out."""
    for step in range(trial.start, 1_000_000):
        save = (lambda path: Path(path).write_text("x")) if trial.params.get("saves") else None
        trial.report(step / 10, step=step, checkpoint=save)
        Path(trial.params["file"]).write_text(str(step))
        time.sleep(0.02)
    return 1.0


def waits_for_a_file(trial: Trial) -> float:
    """Say that it runs, then return when a file is there: the test decides when."""
    Path(trial.params["running"]).write_text(str(os.getpid()))
    while not Path(trial.params["file"]).exists():
        time.sleep(0.01)
    return 2.0


def reports_until(trial: Trial) -> float:
    """Report ten times a second until a file is there; mark in another that the first report is out."""
    step = 0
    while not Path(trial.params["until"]).exists():
        trial.report(1.0, step=step)
        Path(trial.params["file"]).touch()
        step += 1
        time.sleep(0.1)
    return 1.0


def saves_for(trial: Trial) -> float:
    """Write checkpoints for so many seconds."""
    began, step = time.monotonic(), 0
    while time.monotonic() - began < trial.params["seconds"]:
        trial.report(float(step), step=step, checkpoint=lambda path: Path(path).write_text("x"))
        step += 1
        time.sleep(0.1)
    return 1.0


def says_where(trial: Trial) -> float:
    trial.report(
        0.0, step=0, metrics={"device": trial.device, "study": trial.study, "seed": trial.seed, **trial.context}
    )
    print("here", os.environ.get("CUDA_VISIBLE_DEVICES"))
    return float(trial.number)


def loses_its_server(trial: Trial) -> float:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(3600)
    return 1.0


def epochs(trial: Trial) -> float:
    """Report the values of `curve`, its last one for ever if `endless` (it waits to be stopped), some milliseconds an
    epoch.
    """
    curve = [float(value) for value in trial.params["curve"]]
    for step in range(trial.start, 1_000_000 if trial.params.get("endless") else len(curve)):
        time.sleep(0.01)
        metrics = {"samples": 100 * (step + 1)} if trial.params.get("counts") else {}
        save = (lambda path: Path(path).write_text("x")) if trial.params.get("saves") else None
        try:
            trial.report(curve[min(step, len(curve) - 1)], step=step, metrics=metrics, checkpoint=save)
        except TrialStopped:
            if "returns" in trial.params:
                return float(trial.params["returns"])
            raise
        if trial.attempt == 1 and step == trial.params.get("dies_at"):
            os.kill(os.getpid(), signal.SIGKILL)
    return curve[-1]


def tells_the_time(trial: Trial) -> float:
    """Report what this host's clock says, until a file is there."""
    step = 0
    while not Path(trial.params["file"]).exists():
        trial.report(0.5, step=step, metrics={"clock": time.time()})
        Path(trial.params["running"]).write_text(str(os.getpid()))
        step += 1
        time.sleep(0.02)
    return 1.0


def fills_the_disk(trial: Trial) -> float:
    """Report three steps; at those in `fills` the checkpoint finds the disk full. The first attempt is killed after
    them.
    """

    def save(path: str) -> None:
        if trial.attempt == 1 and step in trial.params["fills"]:
            os.symlink("/dev/full", path)
        Path(path).write_text("state")

    for step in range(trial.start, 3):
        print("step", step, flush=True)
        trial.report(0.5, step=step, checkpoint=save)
    if trial.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return 0.5


def walks(trial: Trial) -> float:
    """A walk of forty seeded steps, each with a checkpoint of where it is and of its random numbers; its end is the
    score, whatever interrupts it. Marks in a file how far it is.
    """
    numbers, place = random.Random(trial.seed), 0.0
    if trial.checkpoint:
        place, state = json.loads(Path(trial.checkpoint).read_text())
        numbers.setstate((state[0], tuple(state[1]), state[2]))
    for step in range(trial.start, 40):
        place += numbers.gauss(0, 1)
        text = json.dumps([place, numbers.getstate()])
        trial.report(place, step=step, checkpoint=lambda path, text=text: Path(path).write_text(text))  # type: ignore[misc]
        Path(trial.params["file"]).write_text(str(step))
        time.sleep(trial.params.get("step_s", 0.02))
    return place


def goes_on_until(trial: Trial) -> float:
    """Report with checkpoints until a file of its own is there; say once what it sees of its device."""
    place, number = Path(trial.params["dir"]), trial.params["k"]
    told = {
        "device": trial.device,
        "percentage": os.environ.get("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"),
        "memory": os.environ.get("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"),
    }
    (place / f"told-{number}").write_text(json.dumps(told))
    for step in range(trial.start, 1_000_000):
        trial.report(float(step), step=step, checkpoint=lambda path: Path(path).write_text("x"))
        if (place / f"end-{number}").exists():
            return 1.0
        time.sleep(0.05)
    return 0.0
