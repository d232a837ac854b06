"""How busy a Hydra sweep keeps two slots when its jobs take unevenly long: ours beside Hydra's own Optuna sweeper.

Both run the same program with the same lengths (log-normal around 4 s, 12 s at most, by the job's number), one after
the other in one run. Hydra's Optuna sweeper asks for a batch and waits for all of it; it has two slots by Hydra's
Joblib launcher. It does not load beside Optuna 3 or newer (it imports DiscreteUniformDistribution), so it runs in an
environment of its own with the Optuna that it asks for (`--peer`). Without one, Hydra's basic launcher is measured,
which has one slot.

functions = the sum of the times of the jobs' own functions / (2 slots x from the first one's start to the last one's
end), for both. Before its function a job of either composes its configuration and writes it down, a tenth of a second
of processor time. slots = the same of the time in which a slot had a trial, from its lease to its end, by the rows of
the attempts: ours alone, and it must be at least 95 %.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.embedded import Embedded, embedded, write_json

SLOTS, LEAST = 2, 0.95
APP = Path(__file__).parent / "app" / "uneven.py"


def swept(python: str, place: Path, overrides: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Run the sweep; how busy it kept two slots."""
    log = place / "jobs.jsonl"
    command = [
        python,
        str(APP),
        "-m",
        f"log={log}",
        f"hydra.sweep.dir={place}/sweep",
        "x=interval(0.0,1.0)",
        *overrides,
    ]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    jobs = [json.loads(line) for line in log.read_text().splitlines()]
    worked_s = sum(each["to"] - each["from"] for each in jobs)
    wall_s = max(each["to"] for each in jobs) - min(each["from"] for each in jobs)
    return {"jobs": len(jobs), "worked_s": round(worked_s, 2), "wall_s": round(wall_s, 2)} | {
        "functions": round(worked_s / (SLOTS * wall_s), 4)
    }


def slots_busy(stack: Embedded) -> float:
    """The share of time in which slots had a trial of the newest study, by the attempts' rows."""
    with stack.client() as client:
        study = client.studies(1)[0]
        found = client.store.attempts_of(study.id, range(study.record.next_number))
    held = [(each.leased_at, each.ended_at) for of_trial in found.values() for each in of_trial if each.ended_at]
    wall_s = (max(end for _, end in held) - min(start for start, _ in held)).total_seconds()
    return round(sum((end - start).total_seconds() for start, end in held) / (SLOTS * wall_s), 4)


def main(argv: list[str] | None = None) -> int:
    """Measure both, write the figures; 1 when ours is below its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=40)
    # absolute, since the sweep has a directory of its own; not resolved: a link is what tells Python its environment
    parser.add_argument(
        "--peer", type=os.path.abspath, help="the Python that has hydra-optuna-sweeper and hydra-joblib-launcher"
    )
    parser.add_argument("--out", default="build/bench/doors.json")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="celeriac-doors-") as place, embedded(slots=SLOTS) as stack:
        ours, theirs = Path(place, "ours"), Path(place, "theirs")
        for each in (ours, theirs):
            each.mkdir()
        environment = {**os.environ, "CELERIAC_HOME": str(stack.home), "OMP_NUM_THREADS": "1"}
        mine = ["hydra/sweeper=celeriac", f"hydra.sweeper.n_trials={options.jobs}"]
        figures = {"celeriac": swept(sys.executable, ours, mine, environment)}
        figures["celeriac"]["slots"] = slots_busy(stack)
        asked = ["hydra/sweeper=optuna", f"hydra.sweeper.n_trials={options.jobs}", f"hydra.sweeper.n_jobs={SLOTS}"]
        batched = [*asked, "hydra/launcher=joblib", f"hydra.launcher.n_jobs={SLOTS}"]
        plain = [f"x={','.join(f'{k / options.jobs:.4f}' for k in range(options.jobs))}"]
        name = "hydra_optuna_sweeper" if options.peer else "hydra_basic_launcher"
        figures[name] = swept(options.peer or sys.executable, theirs, batched if options.peer else plain, environment)
    write_json(options.out, {"hydra_sweep": figures, "least_busy": LEAST})
    return 0 if figures["celeriac"]["slots"] >= LEAST else 1


if __name__ == "__main__":
    raise SystemExit(main())
