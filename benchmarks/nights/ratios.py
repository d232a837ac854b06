"""What the runs of `benchmarks.nights.tables` say in pairs: each method's regret as a multiple of another's, on the
same sequences and seeds, and which sequences and nights hold the regret.

It runs nothing: it reads the files that `--runs` of the tables wrote. A sequence with a seed is one pair.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from collections.abc import Sequence as Several
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Regrets = Mapping[tuple[str, str, int], Array]

AT = (5, 10, 15, 25)
AGAINST = (("ours", "rule"), ("ours", "cold"), ("inverted", "cold"), ("shuffled", "cold"))


def ratio(some: Array, others: Array) -> tuple[float, float]:
    """The ratio of two means over pairs, and its standard error by the delta method (Cochran, Sampling Techniques,
    6.4). Both have shape (pairs,). 0 for the error of a single pair.
    """
    of = float(some.mean() / others.mean())
    if len(some) < 2:
        return of, 0.0
    off = (some - of * others) / others.mean()
    return of, float(off.std(ddof=1) / np.sqrt(len(off)))


def read(paths: Several[Path]) -> dict[tuple[str, str, int], Array]:
    """The regrets (nights, trials) of each method, sequence and seed; raises ValueError where two lines of the same
    differ, as those of two versions of the sampler do.
    """
    found: dict[tuple[str, str, int], Array] = {}
    for line in (line for path in paths for line in path.read_text().splitlines()):
        raw = json.loads(line)
        key = (raw["method"], raw["name"], raw["seed"])
        regrets = np.array(raw["regrets"], dtype=np.float64)
        if key in found and not np.array_equal(found[key], regrets):
            raise ValueError(f"{' '.join(map(str, key))} is there twice and differs: keep the lines of one code")
        found[key] = regrets
    return found


def compared(regrets: Regrets, method: str, other: str) -> dict[int, tuple[float, float]]:
    """After each of AT trials, the ratio with its error over the pairs that both methods have; empty without any."""
    pairs = [key[1:] for key in regrets if key[0] == method and (other, *key[1:]) in regrets]
    if not pairs:
        return {}
    some, others = (np.array([regrets[name, *pair].mean(axis=0) for pair in pairs]) for name in (method, other))
    return {at: ratio(some[:, at - 1], others[:, at - 1]) for at in AT}


def earlier(regrets: Regrets, method: str) -> tuple[float, float]:
    """A method's regret one trial before its last, as a multiple of that after its last: what a trial is worth."""
    runs = np.array([nights.mean(axis=0) for (whose, *_), nights in regrets.items() if whose == method])
    return ratio(runs[:, -2], runs[:, -1])


def shares(regrets: Regrets, method: str) -> tuple[dict[str, float], dict[int, float]]:
    """The share of the regret after the last trial that each sequence has, and each night, the second being 2."""
    of_sequence: dict[str, float] = {}
    of_night: dict[int, float] = {}
    for (whose, name, _), nights in regrets.items():
        if whose == method:
            for number, last in enumerate(nights[:, -1] / len(nights), 2):
                of_sequence[name] = of_sequence.get(name, 0.0) + float(last)
                of_night[number] = of_night.get(number, 0.0) + float(last)
    total = sum(of_sequence.values())
    ordered = sorted(of_sequence, key=lambda name: -of_sequence[name])
    return {name: of_sequence[name] / total for name in ordered}, {n: v / total for n, v in sorted(of_night.items())}


def main(arguments: Several[str]) -> int:
    """Print both."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nights.ratios", description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path, default=[Path("build/bench/nights-tables.jsonl")])
    paths = parser.parse_args(arguments).runs
    if missing := [str(path) for path in paths if not path.exists()]:
        parser.error(f"no file {', '.join(missing)}: make the runs with python -m benchmarks.nights.tables")
    regrets = read(paths)
    print(f"{'':18}" + "".join(f"{at:>14}" for at in AT))
    for method, other in AGAINST:
        cells = "".join(f"{of:>8.2f} ±{error:.2f}" for of, error in compared(regrets, method, other).values())
        print(f"{method + ' / ' + other:18}{cells}")
    methods = sorted({key[0] for key in regrets})
    for method in methods:
        of, error = earlier(regrets, method)
        print(f"{method} one trial before the end / at the end: {of:.2f} ±{error:.2f}")
    for method in methods:
        names, nights = shares(regrets, method)
        parts = [
            *(f"night {n} {share:.0%}" for n, share in nights.items()),
            *(f"{n} {s:.0%}" for n, s in names.items()),
        ]
        print(f"{method}'s regret at the end: {', '.join(parts)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
