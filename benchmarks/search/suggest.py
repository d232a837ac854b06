"""What one suggestion costs: CPU milliseconds and memory, of ours beside Optuna's TPE and GPSampler.

Six mixed parameters, 30 pending; each ask comes after one more trial ended, and the median of ASKS asks is told. A
batch is 30 suggestions of one call for a study that the process has not seen yet, so that the fit of its
hyperparameters is in it. Every figure comes from a fresh process of one thread, which has asked once, for another
study, before it is timed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from benchmarks.embedded import write_json
from benchmarks.search import methods
from benchmarks.search.clock import Ended, Trial
from benchmarks.search.report import markdown
from celeriac.domain.space import Choice, Float, Int, Space
from coordinator.samplers import sampler_for
from coordinator.samplers.api import Kind, Observation, proposed

SPACE = Space(
    {
        "lr": Float(1e-5, 1e-1, log=True),
        "width": Int(16, 512),
        "optimizer": Choice(("sgd", "adam", "rms")),
        "dropout": Float(0.0, 0.6),
        "decay": Float(0.0, 1.0),
        "layers": Int(1, 8),
    }
)
ASKS = 20
PENDING, MANY_PENDING, BATCH = 30, 1000, 30
SIZES = (50, 500, 6000)
BATCHES = 5  # of different studies; the median of them
#: GPSampler's cost grows with the cube of the trials: 5 s a suggestion at 1,000.
MOST = {"gp": 500}
LIMITS = {"cpu_ms": 60.0, "batch30_ms_each": 25.0, "pending1000_ms": 150.0, "rss_mb": 250.0}

State = tuple[list[Ended], list[Trial]]


def state(ended: int, pending: int, seed: int) -> State:
    """A study in its middle: a third of its trials anywhere, the rest around its best place, as a search leaves
    them.
    """
    rng = Random(f"suggest/{seed}")
    trials = [Trial(number, _point(rng, number)) for number in range(ended + pending)]
    return [Ended(trial, _loss(trial, seed), float(trial.number)) for trial in trials[:ended]], trials[ended:]


def _point(rng: Random, number: int) -> dict[str, Any]:
    if number % 3 == 0:
        return SPACE.sample(rng)
    return SPACE.from_unit([rng.gauss(_BEST, 0.15) for _ in SPACE.names])


_BEST = 0.6


def _loss(trial: Trial, seed: int) -> float:
    noise = Random(f"suggest/{seed}/{trial.number}").gauss(0.0, 0.02)
    return sum((unit - _BEST) ** 2 for unit in SPACE.to_unit(trial.params)) + noise


def asks(name: str, ended: int, pending: int) -> list[float]:
    """CPU ms of each of ASKS asks, each after the longest-running trial ended; the ask's own trial then runs."""
    _warm(name)
    done, running = state(ended, pending, 0)
    ask = methods.method(name, SPACE, 0)
    taken = []
    for turn in range(ASKS + 1):  # the first takes in what the study has behind it, and is not counted
        began = time.process_time()
        params = ask(done, running)
        taken.append(1000 * (time.process_time() - began))
        running.append(Trial(ended + pending + turn, params))
        first = running.pop(0)
        done.append(Ended(first, _loss(first, 0), float(first.number)))
    return taken[1:]


def batches(name: str, ended: int) -> list[float]:
    """CPU ms a suggestion, of BATCHES batches, each the first of its study."""
    _warm(name)
    suggest = sampler_for(methods.sampler_name(name))
    taken = []
    for seed in range(1, BATCHES + 1):
        done, running = state(ended, PENDING, seed)
        observations = [
            Observation(proposed(SPACE, end.trial.params, end.trial.number), Kind.FINISHED, end.loss) for end in done
        ]
        pending = [proposed(SPACE, trial.params, trial.number) for trial in running]
        began = time.process_time()
        proposals = suggest(SPACE, observations, pending, BATCH, seed)
        taken.append(1000 * (time.process_time() - began) / BATCH)
        if len(proposals) != BATCH:
            raise RuntimeError(f"{name} proposed {len(proposals)} of {BATCH}")
    return taken


def _warm(name: str) -> None:
    """The libraries are loaded, and have been used once."""
    done, running = state(30, 2, -1)
    methods.method(name, SPACE, 99)(done, running)


def peak_mb() -> float:
    """The most memory that this process has had resident, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(kilobytes) * 1024 / 1e6


MEASURES: Mapping[str, Callable[[str, int], list[float]]] = {
    "asks": lambda name, ended: asks(name, ended, PENDING),
    "many": lambda name, ended: asks(name, ended, MANY_PENDING),
    "batches": batches,
}


def fresh(measure: str, name: str, ended: int) -> tuple[list[float], float]:
    """CPU ms and peak MB of one measure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.search.suggest", "--measure", measure, name, str(ended)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | threads)
    form = json.loads(done.stdout.splitlines()[-1])
    return form["ms"], form["peak_mb"]


def measure_all(name: str, sizes: tuple[int, ...]) -> dict[str, Any]:
    """One method's figures; batches and crowds are measured for ours only, since no peer has a batch on one model."""
    found: dict[str, Any] = {"cpu_ms": {}, "worst_ms": {}}
    for ended in sizes:
        taken, peak = fresh("asks", name, ended)
        found["cpu_ms"][str(ended)] = round(median(taken), 2)
        found["worst_ms"][str(ended)] = round(max(taken), 2)
        found["rss_mb"] = round(peak, 1)  # of the largest, which comes last
    taken, _ = fresh("many", name, sizes[-1])
    found["pending1000_ms"] = round(median(taken), 2)
    if name not in methods.PEERS:
        each = {str(ended): round(median(fresh("batches", name, ended)[0]), 2) for ended in sizes}
        found["batch30_by_size"] = each
        found["batch30_ms_each"] = max(each.values())
    return found


def missed(figures: Mapping[str, Any]) -> list[str]:
    """The limits that are broken, in words."""
    flat = {f"cpu_ms at {size}": ("cpu_ms", value) for size, value in figures["cpu_ms"].items()}
    flat |= {name: (name, figures[name]) for name in LIMITS if name != "cpu_ms"}
    return [
        f"{what} is {value}, the bar {LIMITS[name]:g}" for what, (name, value) in flat.items() if value > LIMITS[name]
    ]


def table(every: Mapping[str, Mapping[str, Any]]) -> str:
    """All methods' figures, in Markdown."""
    head = ["CPU ms a suggestion", *(f"{size:,} trials" for size in SIZES), "worst of 20", "1,000 pending"]
    head += ["batch of 30, each", "peak MB"]
    rows = [
        [
            name,
            *(str(found["cpu_ms"].get(str(size), "-")) for size in SIZES),
            str(max(found["worst_ms"].values())),
            str(found["pending1000_ms"]),
            str(found.get("batch30_ms_each", "-")),
            f"{found['rss_mb']:.0f}",
        ]
        for name, found in every.items()
    ]
    return markdown(head, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print; write and judge ours; 1 when it breaks a limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search.suggest", description=__doc__)
    parser.add_argument("--methods", type=lambda text: text.split(","), default=["ours", "tpe", "gp"])
    parser.add_argument("--out", default="build/bench/suggest.json")
    parser.add_argument("--measure", nargs=3, metavar=("WHAT", "METHOD", "TRIALS"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        what, name, ended = options.measure
        print(json.dumps({"ms": MEASURES[what](name, int(ended)), "peak_mb": peak_mb()}))
        return 0
    every = {}
    for name in options.methods:
        sizes = tuple(size for size in SIZES if size <= MOST.get(name, size))
        every[name] = measure_all(name, sizes)
        print(f"{name} measured", file=sys.stderr)
    print(table(every))
    if "ours" not in every:
        return 0
    broken = missed(every["ours"])
    peers = {name: found for name, found in every.items() if name != "ours"}
    write_json(options.out, {**every["ours"], "peers": peers, "missed": broken})
    for bar in broken:
        print(f"MISSED {bar}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
