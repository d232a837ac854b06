"""Twenty tasks on an embedded stack of two slots, by the tools and by the command: `make bench-agents`.

Holds when every task is done, by each door, with at most three calls. Writes `build/bench/agents.json`.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.agents import world
from benchmarks.agents.doors import Command, Refused, Tools
from benchmarks.agents.tasks import MOST_CALLS, TASKS, Task
from benchmarks.embedded import Embedded, embedded, write_json


def tried(task: Task, door: Tools | Command, stack: Embedded, code: Path, prefix: str) -> dict[str, Any]:
    """One task by one door: whether it holds, its calls, its seconds."""
    task.before(code, prefix)
    began, before, flaw = time.monotonic(), door.calls, ""
    try:
        said = task.tools(door, prefix) if isinstance(door, Tools) else task.command(door, prefix)
        with stack.client() as client:
            if not task.holds(client, prefix, said):
                flaw = f"it does not hold: {str(said)[:300]}"
    except (Refused, LookupError, TypeError, ValueError) as error:
        flaw = f"{type(error).__name__}: {str(error)[:300]}"
    calls = door.calls - before
    if not flaw and calls > MOST_CALLS:
        flaw = f"it took {calls} calls"
    sys.stderr.write(f"{door.name}: {task.told}: {flaw or 'done'} ({calls} calls)\n")
    return {"task": task.told, "calls": calls, "s": round(time.monotonic() - began, 2), "flaw": flaw}


def main(arguments: Sequence[str] | None = None) -> int:
    """Try all, write, print; 1 when a task was not done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agents", description=__doc__)
    parser.add_argument("--out", default="build/bench/agents.json")
    parser.add_argument("--doors", nargs="+", choices=("tools", "command"), default=["tools", "command"])
    options = parser.parse_args(arguments)
    figures: dict[str, Any] = {}
    with TemporaryDirectory(prefix="celeriac-agents-") as directory, embedded(2) as stack:
        code = Path(directory)
        for prefix, make in (("t_", Tools), ("c_", Command)):
            if make.name not in options.doors:
                continue
            world.write(code, prefix)
            door: Tools | Command = make(stack.home, code)
            try:
                found = [tried(task, door, stack, code, prefix) for task in TASKS]
            finally:
                door.close()
            figures[door.name] = {
                "done": sum(not each["flaw"] for each in found),
                "of": len(found),
                "most_calls": max(each["calls"] for each in found),
                "mean_calls": sum(each["calls"] for each in found) / len(found),
                "largest_answer_bytes": door.bytes,
                "tasks": found,
            }
    write_json(options.out, figures)
    return 0 if all(each["done"] == each["of"] for each in figures.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
