"""Run the parts of the GPUs' bench, print and write their figures; 1 when a bar is broken.

A part is a module of this package with two functions: `measure()` gives its figures, `broken(figures)` the bars they
do not meet; those that it names in `HEADLINES` also stand at the top of the file (gang_rounds_ok, gang_recover_s_p95,
packing_of_bound, pack_speedup, busy_2s, busy_60s). Parts that are not run keep the figures that the file has.
"""

import argparse
import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.embedded import write_json

PARTS = ("batches", "gangs", "chosen", "packing", "packs", "interrupted", "population", "busy", "leaks")


def main() -> int:
    """Measure, print, write and judge."""
    there = [name for name in PARTS if importlib.util.find_spec(f"benchmarks.gpus.{name}")]
    parser = argparse.ArgumentParser(prog="benchmarks.gpus", description=__doc__)
    parser.add_argument("--out", default="build/bench/gpus.json")
    parser.add_argument("--only", choices=there, nargs="+", default=there, help="run these parts alone")
    parser.add_argument("--rounds", type=int, help="rounds of the part gangs, where its own number takes too long")
    options = parser.parse_args()
    known = Path(options.out)
    figures: dict[str, Any] = json.loads(known.read_text()) if known.exists() else {}
    failed = []
    for name in options.only:
        part = importlib.import_module(f"benchmarks.gpus.{name}")
        figures[name] = part.measure(rounds=options.rounds) if name == "gangs" and options.rounds else part.measure()
        figures |= {key: figures[name][key] for key in getattr(part, "HEADLINES", ())}
        failed += [f"{name}: {text}" for text in part.broken(figures[name])]
    figures["verdict"] = "; ".join(failed) or "within the limits"
    write_json(options.out, figures)
    print(figures["verdict"])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
