"""The gap between two trials of one slot, beside bare Celery's and a fresh process's, interleaved in one run.

Ours: from the return of one objective to the first line of the next, with full isolation (a process for each trial),
torch imported, fsync on, the buffer not empty; each objective rests a tenth of a second. Bare Celery: the same between
two tasks of a backlog, on the same Redis. What a task does decides what is measured: while one rests every process on
the way falls asleep, as it does while a trial trains. So bare Celery is measured three times, and the second is what
ours is held to:

    celery            its own defaults, each task rests as ours do
    celery_one        as ours: it rests, and no ticket is prefetched
    celery_busy       its own defaults, tasks that do nothing: back to back, nobody sleeps

Fresh process: a new Python that imports torch, for comparison. Limits: our median at most 10 ms, and at most 5 x that
of bare Celery without prefetching; our 95th percentile at most 3 x our median. Trials last seconds to days: more would
be paid for in simplicity.
"""

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psutil
from celery import Celery

from benchmarks.embedded import Embedded, embedded, write_json

REST_S = 0.1
MOST_MS = 10.0
BARE_QUEUE = "bench.bare"


@dataclass(frozen=True)
class Bare:
    """One way to run bare Celery."""

    rest_s: float
    prefetches: bool


BARE = {
    "celery": Bare(REST_S, prefetches=True),
    "celery_one": Bare(REST_S, prefetches=False),
    "celery_busy": Bare(0.0, prefetches=True),
}


def ours(stack: Embedded, trials: int, name: str) -> list[float]:
    """Gaps in ms of one study of `trials` trials on one slot."""
    client = stack.client()
    study = client.submit(
        {
            "study": name,
            "objective": "idle:timed",
            "code": str(Path(__file__).parent / "trained"),
            "metric": {"name": "x", "goal": "maximize"},
            "space": {"x": {"float": [0.0, 1.0]}, "rest": {"float": [REST_S, REST_S * 1.01]}},
            "sampler": "random",
            "budget": {"trials": trials},
        }
    )
    study.wait(timeout=300)
    times = sorted(
        (float(trial.metrics["first"]), float(trial.metrics["last"]))
        for trial in client.store.trials(study.record.id, limit=trials)
        if "first" in trial.metrics
    )
    client.close()
    if len(times) != trials:
        raise RuntimeError(f"{name}: {len(times)} of {trials} trials told their times")
    return _gaps(times)[2:]  # the first trials start the server and fill the buffer


def _gaps(times: list[tuple[float, float]]) -> list[float]:
    return [1000 * (after[0] - before[1]) for before, after in pairwise(times)]


def bare_app(url: str, how: Bare) -> Celery:
    """Celery as it comes, with JSON and no results; `how` may switch its prefetching off, as ours is."""
    app = Celery("bare", broker=url)
    app.conf.update(task_ignore_result=True, task_default_queue=BARE_QUEUE, broker_connection_retry_on_startup=True)
    if not how.prefetches:
        app.conf.update(worker_prefetch_multiplier=1, worker_disable_prefetch=True)
    times: list[tuple[float, float]] = []

    @app.task(name="bare.rest")
    def rest() -> None:
        first = time.monotonic()
        if how.rest_s:
            time.sleep(how.rest_s)
        times.append((first, time.monotonic()))

    @app.task(name="bare.tell")
    def tell(path: str) -> None:
        Path(path).write_text("\n".join(f"{first!r} {last!r}" for first, last in times))
        times.clear()

    return app


def bare(url: str, name: str, tasks: int, out: Path) -> list[float]:
    """Gaps in ms of `tasks` bare Celery tasks from a backlog; the worker is started for it and ended after."""
    app = bare_app(url, BARE[name])
    for _ in range(tasks):
        app.send_task("bare.rest", ignore_result=True)
    app.send_task("bare.tell", args=(str(out),), ignore_result=True)
    worker = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.gap", "--bare-worker", name, url],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(out)
    finally:
        worker.kill()  # its pool process follows it; nothing of it is worth a warm shutdown
        worker.wait()
    lines = [line.split() for line in out.read_text().splitlines()]
    out.unlink()
    return _gaps([(float(first), float(last)) for first, last in lines])[2:]


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() or not path.read_text():
        if time.monotonic() > deadline:
            raise TimeoutError(f"bare Celery did not finish: {path} was not written")
        time.sleep(0.1)


def fresh() -> float:
    """Milliseconds from now to the first line after `import torch` in a new Python."""
    before = time.monotonic()
    code = "import torch, time; print(time.monotonic())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return 1000 * (float(done.stdout) - before)


def measure(rounds: int, trials: int) -> dict[str, Any]:
    """All of them, round by round, so that whatever else the machine does meets all of them."""
    our_ms: list[float] = []
    bare_ms: dict[str, list[float]] = {name: [] for name in BARE}
    fresh_ms: list[float] = []
    with embedded(slots=1) as stack:
        for number in range(rounds):
            our_ms += ours(stack, trials, f"gap-{number}")
            for name, gaps in bare_ms.items():
                gaps += bare(stack.settings.broker_url, name, trials, stack.home / "bare.txt")
            fresh_ms += [fresh() for _ in range(2)]
    figures = {
        "ours_ms_p50": round(median(our_ms), 2),
        "ours_ms_p95": round(quantiles(our_ms, n=20)[-1], 2),
        **{f"{name}_ms_p50": round(median(gaps), 2) for name, gaps in bare_ms.items()},
        "fresh_process_ms_p50": round(median(fresh_ms), 1),
        "gaps": len(our_ms),
        "load": psutil.getloadavg()[0],
    }
    return {**figures, "verdict": verdict(figures)}


def verdict(figures: dict[str, Any]) -> str:
    """Within the limits of the module's head, or what is not."""
    ours_p50 = figures["ours_ms_p50"]
    failed = [
        text
        for text, broken in (
            (f"median over {MOST_MS:g} ms", ours_p50 > MOST_MS),
            ("median over 5 x that of bare Celery without prefetching", ours_p50 > 5 * figures["celery_one_ms_p50"]),
            ("p95 over 3 x the median", figures["ours_ms_p95"] > 3 * ours_p50),
        )
        if broken
    ]
    return "; ".join(failed) or "within the limits"


def main() -> int:
    """Measure, print, write; 1 when a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="build/bench/gap.json")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--bare-worker", nargs=2, metavar=("HOW", "URL"))
    options = parser.parse_args()
    if options.bare_worker:
        name, url = options.bare_worker
        bare_app(url, BARE[name]).worker_main(["worker", "-P", "prefork", "-c", "1", "-l", "ERROR"])
    figures = measure(options.rounds, options.trials)
    write_json(options.out, figures)
    return 0 if figures["verdict"] == "within the limits" else 1


if __name__ == "__main__":
    sys.exit(main())
