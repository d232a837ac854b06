"""Many slots on one machine: what a study of sleeping trials takes, how many connections it holds, and whether
`celeriac status` answers.

An embedded stack of 64 slots runs ten trials of five seconds on each. Ideal is what the sleep alone takes;
`full_after_s` of the rest goes by before every slot has begun its first trial. A command is asked all the while.
Connections are counted by Postgres itself, four times a second, without the counter's own.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.embedded import Embedded, embedded
from celeriac.runtime.broker import BrokerConfig, make_app
from celeriac.store.capacity import connection_use, connections_needed

SLOTS, EACH, TRIAL_S = 64, 10, 5.0
MOST_RATIO = 1.15
REST_S = 15.0  # longer than a connection may rest
READY_S = 300.0
COUNT = "SELECT count(*) FROM pg_stat_activity WHERE datname IS NOT NULL AND pid <> pg_backend_pid()"
OBJECTIVE = """
import time

def objective(trial):
    time.sleep({trial_s})
    return trial.params["x"]
"""


def measure(slots: int | None = None, *, each: int = EACH, trial_s: float = TRIAL_S) -> dict[str, Any]:
    """The figures of `each` trials of `trial_s` seconds on each of so many slots."""
    count = slots or SLOTS
    with tempfile.TemporaryDirectory() as code, embedded(slots=count, flower=False) as stack:
        began = time.monotonic()
        await_slots(stack, count)
        ready_s = time.monotonic() - began
        time.sleep(REST_S)
        with counting(stack) as sessions, asking(stack) as asked:
            at_rest = sessions[-1]
            study = run(stack, Path(code), count * each, trial_s)
        full_s = (last_first_start(stack, study.id, count) - study.started_at).total_seconds()
        ideal_s = each * trial_s
        took_s = (study.ended_at - study.started_at).total_seconds()
        figures = {
            "slots": count,
            "trials": study.counts.scored,
            "ready_s": round(ready_s, 1),
            "ideal_s": ideal_s,
            "full_after_s": round(full_s, 1),
            "took_s": round(took_s, 1),
            "ratio": round(took_s / ideal_s, 3),
            "at_rest": at_rest,
            "peak": max(sessions),
            "limit": connection_use(stack.settings.database_url).most,
            "status_asked": len(asked),
            "status_answered": sum(answered for answered, _ in asked),
            "status_slowest_s": round(max(s for _, s in asked), 1),
        }
    print("connections: " + ", ".join(f"{name} {value}" for name, value in figures.items()))
    return figures


def broken(figures: dict[str, Any]) -> list[str]:
    """The bars that these figures do not meet."""
    found = []
    if figures["ratio"] > MOST_RATIO:
        found.append(f"{figures['took_s']} s for {figures['ideal_s']} s of sleep: more than {MOST_RATIO} x")
    if figures["status_answered"] < figures["status_asked"]:
        found.append(f"status answered {figures['status_answered']} of {figures['status_asked']} times")
    if figures["peak"] > connections_needed(figures["slots"]):
        found.append(f"{figures['peak']} connections at once, more than docs/how-to/fleet.md says")
    return found


def await_slots(stack: Embedded, count: int) -> None:
    """Return when every slot's worker takes tickets."""
    app = make_app(BrokerConfig(stack.settings.broker_url, client_name="bench"))
    deadline = time.monotonic() + READY_S
    while True:
        found = [name for reply in app.control.ping(timeout=2.0) or [] for name in reply if ".s" in name]
        if len(found) == count:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(found)} of {count} slots after {READY_S:g} s")


def run(stack: Embedded, code: Path, trials: int, trial_s: float) -> Any:
    """Run a study of sleeping trials; its record."""
    (code / "sleeping.py").write_text(OBJECTIVE.format(trial_s=trial_s))
    spec = {
        "study": "sleeping",
        "objective": "sleeping:objective",
        "code": str(code),
        "metric": {"goal": "maximize"},
        "space": {"x": {"float": [0, 1]}},
        "sampler": "random",
        "budget": {"trials": trials},
    }
    with stack.client() as client:
        study = client.submit(spec).wait(timeout=READY_S + 10 * trial_s * trials)
        return study.record


def last_first_start(stack: Embedded, study_id: int, count: int) -> datetime:
    """When the last slot began its first trial: until then fork servers start, one a slot."""
    with stack.client() as client:
        trials, last = [], -1
        while page := client.store.trials(study_id, after=last, limit=500):
            trials += page
            last = page[-1].number
    return sorted(trial.started_at for trial in trials if trial.started_at is not None)[count - 1]


@contextmanager
def repeating(deed: Callable[[], Any], every_s: float) -> Iterator[list[Any]]:
    """What the deed gives, again and again, beside the block; at least once."""
    ending, found = threading.Event(), [deed()]

    def work() -> None:
        while not ending.wait(every_s):
            found.append(deed())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield found
    finally:
        ending.set()
        thread.join()


@contextmanager
def counting(stack: Embedded) -> Iterator[list[int]]:
    """The number of sessions, four times a second."""
    url = stack.settings.database_url.replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as counter:

        def count() -> int:
            row = counter.execute(COUNT).fetchone()
            return int(row[0]) if row else 0

        with repeating(count, 0.25) as found:
            yield found


@contextmanager
def asking(stack: Embedded) -> Iterator[list[tuple[bool, float]]]:
    """Whether `celeriac status` answered, and in how many seconds, one after the other."""
    command = [sys.executable, "-m", "celeriac.cli", "status", "--home", str(stack.home)]

    def ask() -> tuple[bool, float]:
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        return done.returncode == 0, time.monotonic() - began

    with repeating(ask, 2.0) as found:
        yield found
