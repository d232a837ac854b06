"""Warm start on published sequences of re-tunings: ours, the strongest published rule on the same sampler, and cold.

Each sequence is tuned night after night, TRIALS trials each, by the real sampler and the real decision, without a
stack; what a method found on its earlier nights is its past. The published rule runs the best five configurations of
the past first, newest first (each night's best, then each night's second, …), and then searches plainly. `inverted` and
`shuffled` are ours with a past whose losses are negated, or permuted within each night. The first night, which has no
past, is left out of all figures.

A run, one method on one sequence with one seed, is one line of `--runs`, found again by a hash of the code that it
depends on: stop it at any moment and call it again.
"""

import argparse
import hashlib
import json
import random
import sys
import time
from collections.abc import Sequence as Several
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.nights.sequences import NAMES, sequence
from celeriac.decide.warm_start import PastStudy, PastTrial, warm_start
from celeriac.domain.records import Source
from celeriac.domain.space import Space
from coordinator.samplers import bayesian
from coordinator.samplers.api import Kind, Observation, Point
from coordinator.samplers.earlier import EarlierStudy

TRIALS, SEEDS = 25, 10
#: The settings were chosen on seeds 0 to 9: figures come from others.
FIRST = 500
AT = (1, 2, 3, 5, 10, 15, 25)
METHODS = ("ours", "rule", "cold", "inverted", "shuffled")
RULED = 5
FOR_S = 150.0
MOST_OF_RULE, MOST_OF_COLD, MOST_CPU_MS = 0.7, 1.05, 5.0
_ROOT = Path(__file__).parent.parent.parent
_CODE = (
    "coordinator/samplers",
    "celeriac/decide/warm_start.py",
    "celeriac/domain/space",
    "benchmarks/nights/sequences.py",
    "benchmarks/nights/tables.py",
)

Night = list[tuple[dict[str, Any], float]]


@dataclass(frozen=True, slots=True)
class Run:
    """`regrets`: of each night but the first, the best so far after each trial; `cpu_s`: of each suggestion of those
    nights, on average.
    """

    method: str
    name: str
    seed: int
    code: str
    regrets: tuple[tuple[float, ...], ...]
    cpu_s: float


def run(method: str, name: str, seed: int) -> Run:
    """All nights of a sequence, one after the other."""
    of, regrets, cpu_s = sequence(name), [], 0.0
    nights: list[Night] = []
    for number in range(of.nights):
        past = [_misled(night, method, random.Random(f"{seed}/{at}")) for at, night in enumerate(nights)]
        night, took_s = _night(method, name, number, past, seed)
        nights.append(night)
        if number:
            cpu_s += took_s / TRIALS / (of.nights - 1)
            losses = np.minimum.accumulate([loss for _, loss in night])
            regrets.append(tuple(round(of.regret(number, loss), 6) for loss in losses))
    return Run(method, name, seed, code(), tuple(regrets), round(cpu_s, 6))


def _misled(night: Night, method: str, rng: random.Random) -> Night:
    losses = [loss for _, loss in night]
    if method == "inverted":
        losses = [-loss for loss in losses]
    elif method == "shuffled":
        rng.shuffle(losses)
    return [(params, loss) for (params, _), loss in zip(night, losses, strict=True)]


def _night(method: str, name: str, number: int, past: list[Night], seed: int) -> tuple[Night, float]:
    """One night's trials, and the CPU seconds of its suggestions."""
    of, took_s = sequence(name), 0.0
    seed_tonight = 1000 * seed + number
    ours = method not in ("rule", "cold")
    first = ruled(of.space, past) if method == "rule" else _first(of.space, past) if ours else []
    earlier = _earlier(of.space, past) if ours else ()
    observations: list[Observation] = []
    found: Night = []
    for trial in range(TRIALS):
        source = Source.SUGGESTED
        began = time.process_time()
        if trial < len(first):
            params, source = first[trial], Source.PRIOR
        else:
            params = bayesian.suggest(of.space, observations, [], 1, seed_tonight, *([earlier] if ours else []))[
                0
            ].params
        bayesian.settle()
        took_s += time.process_time() - began
        loss = of.loss(number, params)
        found.append((params, loss))
        observations.append(_observation(of.space, trial, params, loss, source))
    return found, took_s


def ruled(space: Space, past: list[Night]) -> list[dict[str, Any]]:
    """The best five of the past: each night's best, newest first, then each night's second, and so on; none twice."""
    ranked = [[params for params, _ in sorted(night, key=lambda each: each[1])] for night in reversed(past)]
    every = (each for each in chain.from_iterable(zip_longest(*ranked)) if each is not None)
    return list({space.key(each): each for each in every}.values())[:RULED]


def _first(space: Space, past: list[Night]) -> list[dict[str, Any]]:
    """What the decision of the product says; the champion is the last night's best."""
    studies = [
        PastStudy("", gap, False, space, "minimize", tuple(PastTrial(k, *each) for k, each in enumerate(night)))
        for gap, night in enumerate(reversed(past), 1)
    ]
    champion = min(past[-1], key=lambda each: each[1])[0] if past else None
    return [dict(each.params) for each in warm_start(space, None, champion, studies).first]


def _earlier(space: Space, past: list[Night]) -> tuple[EarlierStudy, ...]:
    """Newest first."""
    return tuple(
        EarlierStudy(at, gap, False, tuple(_observation(space, t, p, loss) for t, (p, loss) in enumerate(past[at])))
        for gap, at in enumerate(reversed(range(len(past))), 1)
    )


def _observation(
    space: Space, number: int, params: dict[str, Any], loss: float, source: Source = Source.SUGGESTED
) -> Observation:
    point = Point(number, params, tuple(space.to_unit(params)), space.key(params), source)
    return Observation(point, Kind.FINISHED, loss=loss)


def code() -> str:
    """A hash of the code that a run depends on."""
    found = hashlib.sha256()
    for each in _CODE:
        path = _ROOT / each
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found.update(file.read_bytes())
    return found.hexdigest()[:12]


def figures(runs: Several[Run]) -> dict[str, Any]:
    """Mean regret and its standard error after so many trials; each sequence with a seed is one unit."""
    units = np.array([np.mean(each.regrets, axis=0) for each in runs])
    mean, error = (
        units.mean(axis=0),
        units.std(axis=0, ddof=1) / np.sqrt(len(units)) if len(units) > 1 else 0 * units[0],
    )
    found: dict[str, Any] = {str(at): round(float(mean[at - 1]), 4) for at in AT}
    found["se"] = {str(at): round(float(error[at - 1]), 4) for at in AT}
    found["cpu_ms"] = round(1000 * float(np.mean([each.cpu_s for each in runs])), 2)
    found["runs"] = len(runs)
    return found


def measure() -> dict[str, Any]:
    """Run what is missing, for FOR_S at most, and give the figures of all methods."""
    return _measured(())


def broken(figures: dict[str, Any]) -> list[str]:
    """The bars that are missed, or what is not there yet."""
    if figures["missing"]:
        return [f"{figures['missing']} runs are missing: call it again"]
    ours, rule, cold = figures["ours"], figures["rule"], figures["cold"]
    found = [
        f"after {at} trials ours is at {ours[at]}, the rule at {rule[at]}"
        for at in map(str, AT)
        if ours[at] > rule[at] + rule["se"][at] or (at in ("10", "25") and ours[at] > MOST_OF_RULE * rule[at])
    ]
    found += [
        f"after 25 trials with a past that was {misled}, ours is at {figures[misled]['25']}, cold at {cold['25']}"
        for misled in ("inverted", "shuffled")
        if figures[misled]["25"] > MOST_OF_COLD * cold["25"]
    ]
    if ours["cpu_ms"] > cold["cpu_ms"] + MOST_CPU_MS:
        found.append(f"a suggestion takes {ours['cpu_ms']} CPU-ms, cold {cold['cpu_ms']}")
    return found


def main(arguments: Several[str]) -> int:
    """Run a part of it, and print."""
    print(_measured(arguments)["missing"], "runs are missing")
    return 0


def _measured(arguments: Several[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nights.tables", description=__doc__)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--names", default=",".join(NAMES))
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many")
    parser.add_argument("--first", type=int, default=FIRST, help="the first seed; settings were tried on 0 to 9")
    parser.add_argument("--for-s", type=float, default=FOR_S, help="stop after so many seconds, to be called again")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("build/bench/nights-tables.jsonl"))
    options = parser.parse_args(arguments)
    methods, hashed = options.methods.split(","), code()
    seeds = range(options.first, options.first + options.seeds)
    chosen = [(m, n, s) for s in seeds for m in methods for n in options.names.split(",")]
    there = _read(options.runs, hashed)
    _do([each for each in chosen if each not in there], options, there)
    return _show(chosen, there, methods)


def _do(todo: list[tuple[str, str, int]], options: argparse.Namespace, there: dict[tuple[str, str, int], Run]) -> None:
    options.runs.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + options.for_s
    with ProcessPoolExecutor(options.jobs) as pool, options.runs.open("a") as file:
        waiting = {pool.submit(_unless_late, until, *each): each for each in todo}
        for future in as_completed(waiting):
            found = future.result()
            if found is not None:
                there[waiting[future]] = found
                file.write(json.dumps(asdict(found)) + "\n")
                file.flush()


def _unless_late(until: float, method: str, name: str, seed: int) -> Run | None:
    return run(method, name, seed) if time.monotonic() < until else None


def _read(path: Path, hashed: str) -> dict[tuple[str, str, int], Run]:
    found = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        raw = json.loads(line)
        if raw["code"] == hashed:
            raw["regrets"] = tuple(tuple(each) for each in raw["regrets"])
            found[raw["method"], raw["name"], raw["seed"]] = Run(**raw)
    return found


def _show(
    chosen: list[tuple[str, str, int]], there: dict[tuple[str, str, int], Run], methods: list[str]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    print(f"{'':10}" + "".join(f"{at:>16}" for at in AT) + f"{'CPU-ms':>10}{'runs':>6}")
    for method in methods:
        runs = [there[each] for each in chosen if each[0] == method and each in there]
        if runs:
            found[method] = of = figures(runs)
            cells = "".join(f"{of[str(at)]:>9.4f} ±{of['se'][str(at)]:.3f}" for at in AT)
            print(f"{method:10}{cells}{of['cpu_ms']:>10.1f}{of['runs']:>6}")
    return {**found, "missing": sum(each not in there for each in chosen)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
