"""Run the parts of the fleet's bench, print and write their figures; 1 when a bar is broken.

A part is a module of this package with two functions: `measure()` gives its figures, `broken(figures)` the bars they
do not meet.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.embedded import write_json

PARTS = ("fair", "turn", "connections")


def main() -> int:
    """Measure, print, write and judge."""
    parser = argparse.ArgumentParser(prog="benchmarks.fleet", description=__doc__)
    parser.add_argument("--out", default="build/bench/fleet.json")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS), help="run these parts alone")
    parser.add_argument("--slots", type=int, help="how many slots the part `connections` runs (default: 64)")
    options = parser.parse_args()
    given = {"connections": {"slots": options.slots}}
    known = Path(options.out)
    figures: dict[str, Any] = json.loads(known.read_text()) if known.exists() else {}
    failed = []
    for name in options.only:
        part = importlib.import_module(f"benchmarks.fleet.{name}")
        figures[name] = part.measure(**given.get(name, {}))
        failed += [f"{name}: {text}" for text in part.broken(figures[name])]
    figures["verdict"] = "; ".join(failed) or "within the limits"
    write_json(options.out, figures)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
