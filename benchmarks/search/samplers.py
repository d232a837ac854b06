"""What a suggestion costs with each of our samplers, the process beside the coordinator counted where a sampler runs
there.

Space and studies are those of `benchmarks.search.suggest`: six mixed parameters, 30 pending, one suggestion after each
end. CPU time is the mean over the asks of a fresh process of one thread that has asked for an earlier state of the
study before; memory its peak.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import psutil

from benchmarks.search.report import markdown
from benchmarks.search.suggest import PENDING, SPACE, _loss, peak_mb, state
from coordinator.samplers import sampler_for
from coordinator.samplers.api import Kind, Observation, proposed

NAMES = (
    *("random", "sobol", "grid", "bayesian", "forest", "skopt", "botorch"),
    *("optuna:TPESampler", "optuna:CmaEsSampler", "optuna:NSGAIISampler", "optuna:QMCSampler", "optuna:GPSampler"),
)
SIZES = (50, 500)
SECONDS = 5.0  # of asking: at least three asks, at most fifty
MOST, LEAST = 50, 3


def cost(name: str, ended: int) -> dict[str, float]:
    """CPU ms a suggestion, and peak MB of the coordinator's process and of the one beside it (0 without one)."""
    done, running = state(ended, PENDING + MOST + 1, 0)
    known = [Observation(proposed(SPACE, e.trial.params, e.trial.number), Kind.FINISHED, e.loss) for e in done]
    waiting = [proposed(SPACE, trial.params, trial.number) for trial in running]
    suggest, asked = sampler_for(name), 0
    suggest(SPACE, known, waiting[:PENDING], 1, 0)
    began, before = time.monotonic(), _cpu_s()
    while asked < LEAST or (asked < MOST and time.monotonic() - began < SECONDS):
        trial = running[asked]
        known = [*known, Observation(waiting[asked], Kind.FINISHED, _loss(trial, 0))]
        asked += 1
        suggest(SPACE, known, waiting[asked : asked + PENDING], 1, 0)
    spent = _cpu_s() - before
    beside = psutil.Process().children()
    mb = max((float(child.memory_full_info().pss) / 1e6 for child in beside), default=0.0)
    return {"ms": 1000 * spent / asked, "peak_mb": peak_mb(), "beside_mb": mb}


def _cpu_s() -> float:
    """CPU seconds of this process and of the one beside it, while that lives."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    total = own.ru_utime + own.ru_stime
    for child in psutil.Process().children():
        times = child.cpu_times()
        total += times.user + times.system
    return total


def fresh(name: str, ended: int) -> dict[str, float]:
    """`cost` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.search.samplers", "--measure", name, str(ended)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | threads)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(every: dict[str, dict[int, dict[str, float]]]) -> str:
    """All samplers' figures, in Markdown."""
    head = ["CPU ms a suggestion", *(f"{size:,} trials" for size in SIZES), "peak MB", "MB beside"]
    rows = []
    for name, found in every.items():
        last = found[SIZES[-1]]
        beside = f"{last['beside_mb']:.0f}" if last["beside_mb"] else ""
        cells: list[Any] = [f"`{name}`", *(_digits(found[size]["ms"]) for size in SIZES)]
        rows.append([*cells, f"{last['peak_mb']:.0f}", beside])
    return markdown(head, rows)


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search.samplers", description=__doc__)
    parser.add_argument("--samplers", type=lambda text: text.split(","), default=list(NAMES))
    parser.add_argument("--measure", nargs=2, metavar=("SAMPLER", "TRIALS"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        name, ended = options.measure
        print(json.dumps(cost(name, int(ended))))
        return 0
    print(table({name: {size: fresh(name, size) for size in SIZES} for name in options.samplers}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
