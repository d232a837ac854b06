"""`make bench-stop`: early stopping on 8 workers of a virtual clock, 20 seeds, beside Optuna's and Ray's; exit code 1
when the bar is missed.

The bar: on each set of trainings `asha`, with the first rung that a study file gets by itself, ends within one
standard error of the score without stopping, with at most a third of the epochs. Rungs and defaults were chosen on
seeds 0 to 19; these are 100 to 119.
"""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.early_stop import report
from benchmarks.early_stop.clock import order_of, study
from benchmarks.early_stop.curves import Curves, digits, table
from benchmarks.early_stop.stoppers import NAMES, stopper

WORKERS = 8
SEEDS = "100-119"
TRIALS = {"table": 128, "digits": 96}


def main() -> int:
    """Run, print, write, judge."""
    asked = _arguments()
    first, last = (int(each) for each in asked.seeds.split("-"))
    sets: dict[str, object] = {}
    failures: list[str] = []
    for curves in (table(), digits()):
        trials = TRIALS[curves.name]
        rows = compared(curves, trials, range(first, last + 1), asked.stoppers.split(","))
        print(f"\n{curves.name}: {trials} trials of {curves.epochs} epochs, {WORKERS} workers, seeds {asked.seeds}\n")
        print(report.table(rows, trials=trials, epochs=curves.epochs))
        wrong = report.missed(rows)
        failures += [f"{curves.name}: {each}" for each in wrong]
        sets[curves.name] = {
            "trials": trials,
            "epochs": curves.epochs,
            "stoppers": report.as_json(rows),
            "met": not wrong,
        }
    result = {"workers": WORKERS, "seeds": asked.seeds, "met": not failures, "sets": sets}
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=2) + "\n")
    print("\n" + ("the bar is met" if not failures else "the bar is missed:\n  " + "\n  ".join(failures)))
    return 1 if failures else 0


def compared(curves: Curves, trials: int, seeds: range, names: list[str]) -> list[report.Row]:
    """A row for each stopper over the same studies."""
    outcomes = {
        name: [study(curves, stopper(name, curves.epochs), order_of(curves, trials, seed), WORKERS) for seed in seeds]
        for name in names
    }
    return report.rows_of(outcomes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.early_stop", description=__doc__)
    parser.add_argument("--seeds", default=SEEDS, help="a range, such as 100-119")
    parser.add_argument("--stoppers", default=",".join(NAMES), help="which, such as none,asha,ray:1")
    parser.add_argument("--out", type=Path, default=Path("build/bench/early_stop.json"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
