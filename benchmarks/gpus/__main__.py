"""Run the parts of the GPUs' bench, print and write their figures; 1 when a bar is broken, or a part fails.

A part is a module of this package with two functions: `measure()` gives its figures, `broken(figures)` the bars they
do not meet; those that it names in `HEADLINES` also stand at the top of the file (gang_rounds_ok, gang_recover_s_p95,
packing_of_bound, pack_speedup, busy_2s, busy_60s). A part that fails stops no other: what went wrong stands in the
verdict. The file is written after each part; parts that are not run, or fail, keep the figures that it has. All
together take well over an hour; how long each took last time is printed before it runs.
"""

import argparse
import importlib
import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

PARTS = ("batches", "gangs", "chosen", "packing", "packs", "interrupted", "population", "busy")


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write and judge."""
    parser = argparse.ArgumentParser(prog="benchmarks.gpus", description=__doc__)
    parser.add_argument("--out", default="build/bench/gpus.json")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="run these parts alone")
    parser.add_argument("--rounds", type=int, help="rounds of the part gangs, where its own number takes too long")
    options = parser.parse_args(argv)
    known = Path(options.out)
    figures: dict[str, Any] = json.loads(known.read_text()) if known.exists() else {}
    took_s, failed = dict(figures.get("took_s", {})), list[str]()
    for place, name in enumerate(options.only, start=1):
        last = f" (last time {took_s[name]:.0f} s)" if name in took_s else ""
        print(f"[{place}/{len(options.only)}] {name}{last} …", flush=True)
        began = time.monotonic()
        found = _run(name, figures, {"rounds": options.rounds} if name == "gangs" and options.rounds else {})
        took_s[name] = round(time.monotonic() - began, 1)
        failed += found
        print(f"    {'; '.join(found) or 'within the limits'}, {took_s[name]:.0f} s", flush=True)
        figures |= {"verdict": "; ".join(failed) or "within the limits", "took_s": took_s}
        known.parent.mkdir(parents=True, exist_ok=True)
        known.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    print(figures["verdict"])
    return 1 if failed else 0


def _run(name: str, figures: dict[str, Any], how: dict[str, Any]) -> list[str]:
    """Measure one part into the figures; the bars that it broke, or why it could not be measured."""
    try:
        part = importlib.import_module(f"benchmarks.gpus.{name}")
        found = part.measure(**how)
        print(json.dumps(found, indent=2, sort_keys=True))
        figures[name] = found
        figures |= {key: found[key] for key in getattr(part, "HEADLINES", ())}
        return [f"{name}: {text}" for text in part.broken(found)]
    except Exception as error:
        traceback.print_exc()
        return [f"{name} failed: {type(error).__name__}: {error}"]


if __name__ == "__main__":
    sys.exit(main())
