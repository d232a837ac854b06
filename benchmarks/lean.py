"""How much of a machine Celeriac takes for itself: start-up of the command, and memory and CPU at rest.

Memory is the proportional set size (PSS) of every process of the stack, children counted, so that shared pages count
once.
At rest means: no study is open. It is measured when the stack is up, and again after a 500-trial study.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.embedded import Embedded, embedded, write_json

MB = 1_000_000
LIMITS = {
    "help_s": 0.4,
    "status_s": 1.0,
    "second_up_s": 10.0,
    "stack_mb": 1200.0,
    "coordinator_mb": 400.0,
    "worker_mb": 120.0,
    "cpu_share": 0.02,
}
REST_S = 30.0


def seconds_of(command: list[str], times: int) -> float:
    """Median wall seconds of a command."""
    taken = []
    for _ in range(times):
        before = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.monotonic() - before)
    return median(taken)


def pss(process: psutil.Process) -> float:
    """Proportional set size in MB; 0 for a process that has just ended."""
    try:
        return float(process.memory_full_info().pss) / MB
    except psutil.NoSuchProcess:
        return 0.0


def tree(process: psutil.Process) -> list[psutil.Process]:
    """The process and all below it."""
    return [process, *process.children(recursive=True)]


def cpu_s(processes: list[psutil.Process]) -> float:
    """CPU seconds that these processes have used so far."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def at_rest(stack: Embedded) -> dict[str, Any]:
    """Memory of the stack and its parts, and its share of one core over the next half minute."""
    root = psutil.Process(stack.process.pid)
    processes = tree(root)
    before, began = cpu_s(processes), time.monotonic()
    time.sleep(REST_S)  # what is measured is the passing of time
    share = (cpu_s(processes) - before) / (time.monotonic() - began)
    programs = stack.programs()
    memory = {name: round(sum(map(pss, tree(program))), 1) for name, program in programs.items()}
    workers = [pss(process) for process in stack.workers()]
    return {
        "stack_mb": round(sum(map(pss, tree(root))), 1),
        "coordinator_mb": round(memory["drive"] + memory["clock"] + memory["beat"], 1),
        "worker_mb": round(sum(workers) / stack.slots, 1),
        "cpu_share": round(share, 4),
        "programs_mb": memory,
    }


def long_study(stack: Embedded, trials: int) -> float:
    """Seconds of a study of no-op trials with torch imported."""
    began = time.monotonic()
    client = stack.client()
    study = client.submit(
        {
            "study": "lean",
            "objective": "idle:noop",
            "code": str(Path(__file__).parent / "trained"),
            "metric": {"name": "x", "goal": "maximize"},
            "space": {"x": {"float": [0.0, 1.0]}},
            "budget": {"trials": trials},
        }
    )
    study.wait(timeout=540)
    client.close()
    return time.monotonic() - began


def wait_for_idle_servers(stack: Embedded) -> None:
    """Fork servers end by themselves when they had no trial for a while; wait until the last one has."""
    deadline = time.monotonic() + stack.settings.idle_server_s + 30
    while any("worker.process.server" in _words(process) for process in tree(psutil.Process(stack.process.pid))):
        if time.monotonic() > deadline:
            return  # the figures will tell
        time.sleep(1)


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def measure(trials: int) -> dict[str, Any]:
    """All figures of the module's head."""
    command = str(Path(sys.executable).parent / "celeriac")
    figures: dict[str, Any] = {"help_s": round(seconds_of([command, "--help"], 9), 3)}
    with embedded(slots=2, flower=True) as stack:
        figures["status_s"] = round(seconds_of([command, "status", "--home", str(stack.home)], 5), 3)
        figures["fresh"] = at_rest(stack)
        stack.stop()
        began = time.monotonic()
        stack.start_again()
        figures["second_up_s"] = round(time.monotonic() - began, 2)
        figures["trials"] = trials
        figures["study_s"] = round(long_study(stack, trials), 1)
        wait_for_idle_servers(stack)
        figures["after_study"] = at_rest(stack)
    return {**figures, "verdict": verdict(figures)}


def verdict(figures: dict[str, Any]) -> str:
    """Within the limits, or what is not."""
    flat = {f"{part}.{name}": value for part in ("fresh", "after_study") for name, value in figures[part].items()}
    flat.update({name: value for name, value in figures.items() if name in LIMITS})
    broken = [
        f"{name} {value} > {LIMITS[name.rsplit('.')[-1]]}"
        for name, value in flat.items()
        if name.rsplit(".")[-1] in LIMITS and value > LIMITS[name.rsplit(".")[-1]]
    ]
    return "; ".join(broken) or "within the limits"


def main() -> int:
    """Measure, print, write; 1 when a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="build/bench/lean.json")
    parser.add_argument("--trials", type=int, default=500)
    options = parser.parse_args()
    figures = measure(options.trials)
    write_json(options.out, figures)
    return 0 if figures["verdict"] == "within the limits" else 1


if __name__ == "__main__":
    sys.exit(main())
