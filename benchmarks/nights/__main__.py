"""Run the parts of the nights' bench, print and write their figures; 1 when a bar is broken.

A part is a module of this package with two functions: `measure()` gives its figures, `broken(figures)` the bars they
do not meet. Parts that are not run keep the figures that the file has. `--slices`, `--nights` and `--seconds` make
`exact` and `killed` smaller.
"""

import argparse
import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.embedded import write_json

PARTS = ("tables", "gate", "fdr", "pays", "exact", "killed")


def main() -> int:
    """Measure, print, write and judge."""
    there = [name for name in PARTS if importlib.util.find_spec(f"benchmarks.nights.{name}")]
    parser = argparse.ArgumentParser(prog="benchmarks.nights", description=__doc__)
    parser.add_argument("--out", default="build/bench/nights.json")
    parser.add_argument("--only", choices=there, nargs="+", default=there, help="run these parts alone")
    parser.add_argument("--slices", type=int, help="of `exact`; 40 if left out")
    parser.add_argument("--nights", type=int, help="of `exact`; 30 if left out")
    parser.add_argument("--seconds", type=float, help="of `killed`; 180 if left out")
    parser.add_argument("--seed", type=int, help="of the faults of `exact` and `killed`; 1 if left out")
    options = parser.parse_args()
    sizes = {"exact": ("slices", "nights", "seed"), "killed": ("seconds", "seed")}
    known = Path(options.out)
    figures: dict[str, Any] = json.loads(known.read_text()) if known.exists() else {}
    failed = []
    for name in options.only:
        part = importlib.import_module(f"benchmarks.nights.{name}")
        given = {size: getattr(options, size) for size in sizes.get(name, ())}
        figures[name] = part.measure(**{size: value for size, value in given.items() if value is not None})
        failed += [f"{name}: {text}" for text in part.broken(figures[name])]
    figures["verdict"] = "; ".join(failed) or "within the limits"
    write_json(options.out, figures)
    print(figures["verdict"])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
