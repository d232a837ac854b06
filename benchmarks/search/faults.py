"""Trials that fail: does the search keep out of where they do, and does it bear those that fail by chance?

    python -m benchmarks.search.faults

Two ways to fail (`benchmarks.search.failing`), on all problems, one worker at a time and with ten. *Memory*: from the
middle of one parameter on, which the seed chooses, every trial runs out of memory; what counts is the share of the
trials after the first 20 that fall there. *At random*: one trial in ten is a NaN or a crash; what counts is the regret
beside that of the same problems and seeds without faults. A failed trial is one of the 60.
"""

import argparse
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.embedded import write_json
from benchmarks.search import problems
from benchmarks.search.__main__ import chosen_from, whole_numbers
from benchmarks.search.comparison import do_all, keys
from benchmarks.search.failing import SHARE_AT_RANDOM
from benchmarks.search.report import Scores, by_problem, error_of_mean, markdown, seeds_in_words
from benchmarks.search.runs import Key, Run, Runs

OURS, CHANCE = "ours", "random"
WORKERS = (1, 10)
BUDGET = 60
FIRST = 20  # trials that may find out where the others fail
FALLEN_AT_MOST = 0.15
RATIO_AT_MOST = 1.15
FEWER = round(BUDGET * (1 - SHARE_AT_RANDOM))
MEMORY_SEEDS, RANDOM_SEEDS = "100-109", "100-119"


@dataclass(frozen=True)
class Ratio:
    """A mean over a mean of the same problems and seeds, and its standard error: that of the mean of the residuals
    `first - value * second`.
    """

    value: float
    error: float

    @classmethod
    def of(cls, first: Scores, second: Scores) -> "Ratio":
        """Over what both have run."""
        same = sorted(first.keys() & second.keys())
        below = fmean(second[where] for where in same)
        value = fmean(first[where] for where in same) / below
        rest = {where: first[where] - value * second[where] for where in same}
        return cls(value, error_of_mean(rest) / below)

    def __str__(self) -> str:
        return f"{self.value:.2f} ± {self.error:.2f}"


def fallen(runs: Iterable[Run]) -> dict[tuple[str, int], float]:
    """Of the trials after the first FIRST, the share that failed, by problem with its workers, and seed."""
    return {
        (place(run.key), run.key.seed): sum(number >= FIRST for number in run.failed) / (run.key.budget - FIRST)
        for run in runs
    }


def regrets(runs: Iterable[Run], yards: Mapping[str, float], *, after: int = BUDGET) -> dict[tuple[str, int], float]:
    """The normalised regrets after so many trials, by problem with its workers, and seed."""
    return {(place(run.key), run.key.seed): run.regrets[after - 1] / yards[run.key.problem] for run in runs}


def place(key: Key) -> str:
    """A problem with its workers: the unit over which seeds are the chance."""
    return f"{key.problem}, {key.workers}"


@dataclass(frozen=True)
class Found:
    """What the runs say, each by problem with its workers, and seed."""

    shares: Scores  # of ours, memory
    chance_shares: Scores  # of random search, memory
    memory: Scores
    chance_memory: Scores
    without: Scores
    fewer: Scores  # without faults, after as many trials as do not fail
    faulty: Scores

    @classmethod
    def of(cls, runs: Collection[Run], yards: Mapping[str, float]) -> "Found":
        """Sorted by method and way to fail."""

        def those(method: str, failing: str) -> list[Run]:
            return [run for run in runs if (run.key.method, run.key.failing) == (method, failing)]

        ours, chance, without = those(OURS, "memory"), those(CHANCE, "memory"), those(OURS, "none")
        return cls(
            fallen(ours),
            fallen(chance),
            regrets(ours, yards),
            regrets(chance, yards),
            regrets(without, yards),
            regrets(without, yards, after=FEWER),
            regrets(those(OURS, "random"), yards),
        )


def missed(found: Found, places: int) -> list[str]:
    """The bars that are missed, in words; so many problems with workers must have been run, with all their seeds."""
    told = []
    complete = {
        "memory": (found.shares, MEMORY_SEEDS),
        "without faults": (found.without, RANDOM_SEEDS),
        "at random": (found.faulty, RANDOM_SEEDS),
    }
    for what, (scores, seeds) in complete.items():
        least = len(whole_numbers(seeds))
        full = sum(len(group) >= least for group in by_problem(scores).values())
        if full < places:
            told.append(f"{what}: {full} of {places} problems and workers have {least} seeds")
    if found.shares and (share := fmean(found.shares.values())) > FALLEN_AT_MOST:
        told.append(f"memory: {share:.1%} of the later trials fail, the bar {FALLEN_AT_MOST:.0%}")
    if found.faulty and found.without:
        ratio = Ratio.of(found.faulty, found.without)
        if not ratio.value <= RATIO_AT_MOST:
            told.append(f"at random: the regret is {ratio} times that without faults, the bar {RATIO_AT_MOST}")
    return told


def figures(found: Found) -> dict[str, Any]:
    """What faults.json holds, besides the bars."""
    form: dict[str, Any] = {}
    if found.shares:
        worst, seed = max(found.shares, key=lambda where: found.shares[where])
        form["memory"] = {
            "share": round(fmean(found.shares.values()), 4),
            "error": round(error_of_mean(found.shares), 4),
            "worst": {"of": worst, "seed": seed, "share": found.shares[worst, seed]},
            "by_problem": {name: round(fmean(of), 4) for name, of in by_problem(found.shares).items()},
            "regret": round(fmean(found.memory.values()), 4),
        }
    if found.faulty and found.without:
        ratio = Ratio.of(found.faulty, found.without)
        form["at_random"] = {
            "without": round(fmean(found.without.values()), 4),
            "with": round(fmean(found.faulty.values()), 4),
            f"without_after_{FEWER}": round(fmean(found.fewer.values()), 4),
            "ratio": round(ratio.value, 4),
            "error": round(ratio.error, 4),
        }
    return form


def memory_table(found: Found) -> str:
    """Out of memory, in Markdown: where the trials after the first FIRST went, and what came of it."""
    head = ["problem, workers", "fail", "worst seed", "fail by chance", "regret", "regret of chance"]
    rows = []
    for name, shares in by_problem(found.shares).items():
        row = [name, f"{fmean(shares):.1%}", f"{max(shares):.1%}"]
        others = [found.chance_shares, found.memory, found.chance_memory]
        chance, ours, by_chance = (by_problem(each).get(name, []) for each in others)
        rows.append([*row, _mean(chance, ".1%"), _mean(ours, ".3f"), _mean(by_chance, ".3f")])
    rows.append(
        [
            "all",
            f"{fmean(found.shares.values()):.1%} ± {error_of_mean(found.shares):.1%}",
            f"{max(found.shares.values()):.1%}",
            _mean(found.chance_shares.values(), ".1%"),
            _mean(found.memory.values(), ".3f"),
            _mean(found.chance_memory.values(), ".3f"),
        ]
    )
    return markdown(head, rows)


def random_table(found: Found) -> str:
    """Faults at random, in Markdown: the regret without and with them."""
    head = ["problem, workers", "without faults", f"after {FEWER} trials", "with faults", "difference"]
    rows = []
    for name, without in by_problem(found.without).items():
        fewer, faulty = by_problem(found.fewer)[name], by_problem(found.faulty).get(name, [])
        if len(without) != len(faulty):
            continue
        apart = [b - a for a, b in zip(without, faulty, strict=True)]
        error = stdev(apart) / sqrt(len(apart)) if len(apart) > 1 else float("nan")
        means = [_mean(each, ".3f") for each in (without, fewer, faulty)]
        rows.append([name, *means, f"{fmean(apart):+.3f} ± {error:.3f}"])
    means = [_mean(each.values(), ".3f") for each in (found.without, found.fewer, found.faulty)]
    rows.append(["all", *means, f"{Ratio.of(found.faulty, found.without)} times"])
    return markdown(head, rows)


def _mean(values: Collection[float], shown: str) -> str:
    return format(fmean(values), shown) if values else "-"


def chosen(names: Sequence[str], memory_seeds: Sequence[int], random_seeds: Sequence[int]) -> list[Key]:
    """All runs that the tables need."""
    return [
        *keys([OURS, CHANCE], names, memory_seeds, WORKERS, BUDGET, failing="memory"),
        *keys([OURS], names, random_seeds, WORKERS, BUDGET, failing="none"),
        *keys([OURS], names, random_seeds, WORKERS, BUDGET, failing="random"),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, print the tables, write the figures; 1 when a run failed or a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search.faults", description=__doc__)
    parser.add_argument("--problems", type=chosen_from(problems.NAMES), default="all")
    parser.add_argument("--memory-seeds", type=whole_numbers, default=MEMORY_SEEDS)
    parser.add_argument("--random-seeds", type=whole_numbers, default=RANDOM_SEEDS)
    parser.add_argument("--jobs", type=int, default=1, help="processes, at most one a core")
    parser.add_argument("--runs", type=Path, default=Path("build/bench/faults-runs.jsonl"))
    parser.add_argument("--out", default="build/bench/faults.json")
    options = parser.parse_args(arguments)
    wanted, kept = chosen(options.problems, options.memory_seeds, options.random_seeds), Runs(options.runs)
    there = kept.read()
    failed = do_all([key for key in wanted if key not in there], options.runs, options.jobs)
    there = kept.read()
    runs = [there[key] for key in wanted if key in there]
    yards = {name: problems.problem(name).yard() for name in options.problems}
    found = Found.of(runs, yards)
    if found.shares:
        print(f"\n## memory: trials after the first {FIRST} that fail\n\n{memory_table(found)}")
    if found.faulty and found.without:
        print(f"\n## at random: normalised regret\n\n{random_table(found)}")
    broken = missed(found, len(problems.NAMES) * len(WORKERS))
    write_json(
        options.out,
        {
            **figures(found),
            "seeds": {
                "memory": seeds_in_words(options.memory_seeds),
                "at_random": seeds_in_words(options.random_seeds),
            },
            "version": runs[0].key.method_version if runs else None,
            "missed": broken,
        },
    )
    for bar in broken:
        print(f"MISSED {bar}")
    return 1 if failed or broken else 0


if __name__ == "__main__":
    sys.exit(main())
