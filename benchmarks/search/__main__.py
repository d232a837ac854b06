"""Runs what is missing of the chosen comparison, prints its tables, and with --judge holds it to the bars.

What is done already is never done twice: stop it at any moment and call it again.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.embedded import write_json
from benchmarks.search import methods, problems, report
from benchmarks.search.comparison import do_all, keys
from benchmarks.search.runs import Key, Run, Runs


def shown(chosen: Sequence[Key], found: dict[Key, Run], order: Sequence[str]) -> dict[str, list[Run]]:
    """Print the tables of each mode; its runs."""
    yards = {name: problems.problem(name).yard() for name in dict.fromkeys(key.problem for key in chosen)}
    names = {workers: mode for mode, workers in report.MODES.items()}
    modes: dict[str, list[Run]] = {}
    for workers in dict.fromkeys(key.workers for key in chosen):
        mode = names.get(workers, f"workers_{workers}")
        modes[mode] = [found[key] for key in chosen if key.workers == workers and key in found]
        if modes[mode]:
            print(f"\n{report.text(mode, modes[mode], yards, order)}")
    return modes


def judge(modes: dict[str, list[Run]], out: str) -> list[str]:
    """Write search.json; the bars that are missed."""
    every = [run for runs in modes.values() for run in runs]
    yards = {name: problems.problem(name).yard() for name in {run.key.problem for run in every}}
    scores = {mode: report.scores_of(runs, yards) for mode, runs in modes.items()}
    missed = report.missed(scores)
    form: dict[str, Any] = {mode: report.figures(of) for mode, of in scores.items()}
    form["budget"] = sorted({run.key.budget for run in every})
    form["problems"] = sorted(yards)
    form["seeds"] = {
        name: report.seeds_in_words(run.key.seed for run in every if run.key.method == name)
        for name in sorted({run.key.method for run in every})
    }
    form["versions"] = {run.key.method: run.key.method_version for run in every}
    form["missed"] = missed
    write_json(out, form)
    return missed


def whole_numbers(text: str) -> list[int]:
    """`0-2,7` as [0, 1, 2, 7]."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def chosen_from(known: Iterable[str]) -> Callable[[str], list[str]]:
    """A parser of comma-separated names; `all` is every one."""
    every = list(known)

    def parse(text: str) -> list[str]:
        return every if text == "all" else text.split(",")

    return parse


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, judge; 1 when a run failed or a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--methods", type=chosen_from(methods.NAMES), default="all", help="ours, ours:NAME, tpe, …")
    parser.add_argument("--problems", type=chosen_from(problems.NAMES), default="all")
    parser.add_argument("--seeds", type=whole_numbers, default="100-109", help="samplers are tuned on 0-9")
    parser.add_argument("--workers", type=whole_numbers, default="1,10")
    parser.add_argument("--budget", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=1, help="processes, at most one a core")
    parser.add_argument("--runs", type=Path, default=Path("build/bench/search-runs.jsonl"))
    parser.add_argument("--show", action="store_true", help="run nothing, show what is there")
    parser.add_argument("--judge", action="store_true", help="write --out, fail when a bar is missed")
    parser.add_argument("--out", default="build/bench/search.json")
    options = parser.parse_args(arguments)
    chosen = keys(options.methods, options.problems, options.seeds, options.workers, options.budget)
    kept = Runs(options.runs)
    there = kept.read()
    todo = [] if options.show else [key for key in chosen if key not in there]
    failed = do_all(todo, options.runs, options.jobs)
    modes = shown(chosen, kept.read(), options.methods)
    missed = judge(modes, options.out) if options.judge else []
    for bar in missed:
        print(f"MISSED {bar}")
    return 1 if failed or missed else 0


if __name__ == "__main__":
    sys.exit(main())
