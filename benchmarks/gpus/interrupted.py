"""Interrupted trials: each is struck once at a random moment, by a SIGTERM to its worker, a drain of its host, a
request to hand itself back, or a kill -9 of its process or its worker.

Real processes: a stack whose own node has a slot, and two more hosts with two slots each and directories of their own.
Half of the trials keep their checkpoints in a directory that all hosts see, half on a server that speaks S3.

The verdict: every trial ends with the score that it has undisturbed with its seed, and does at most one checkpoint
interval again for each interruption. On S3 a checkpoint is one when its copy is whole, so a worker that is killed
before then goes back to the one before: there an interval and the time of one copy may be done again. How long copies
take is measured: from the report until the checkpoint's row is seen.
"""

import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any

import psutil

from benchmarks.embedded import Embedded, embedded
from benchmarks.gpus.walking.walk import EACH, objective
from celeriac.client import Client
from celeriac.domain.records import CLOSED, RunningAttempt, TrialState
from celeriac.trial import Trial
from tests.celeriac.runtime.artefacts.roots import BUCKET, HAS_S3, s3_server
from worker.attempt.job import trial_seed

HEADLINES = ("interrupted_same_score",)
#: For each kind of place. Some end before they are struck: so many at least are to be interrupted.
TRIALS, WANTED = 125, 100
STEP_S, SEED = 0.15, 7
KINDS = ("sigterm", "drain", "preempt", "kill")
ROOT = Path(__file__).parents[2]
LIMIT_S = 420.0


@dataclass
class Host:
    """A node beside the stack's own, with a directory of its own."""

    name: str
    environment: Mapping[str, str]
    process: "subprocess.Popen[bytes] | None" = None
    busy: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Start its node; it is there when its device is."""
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "worker", "--slots", "2"],
            env={**os.environ, **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
        )

    def stop(self) -> None:
        """Drain it: its trials are handed back."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)

    def drain(self) -> bool:
        """Take the host out and give it back, in the background; False: that is under way."""
        if not self.busy.acquire(blocking=False):
            return False

        def work() -> None:
            self.stop()
            self.start()
            self.busy.release()

        threading.Thread(target=work, daemon=True).start()
        return True


def measure() -> dict[str, Any]:
    """Both kinds of places, one after the other; see the head of the module."""
    found = {"directory": _run({})}
    if HAS_S3:
        with s3_server() as reached:
            found["s3"] = _run({**reached, "CELERIAC_CHECKPOINTS": f"s3://{BUCKET}/walks"})
    same = min(each["same_score"] for each in found.values())
    return {**found, "interrupted_same_score": same, "interrupted": sum(each["interrupted"] for each in found.values())}


def broken(figures: Mapping[str, Any]) -> list[str]:
    """The bars that these figures do not meet."""
    told = []
    for kind in ("directory", "s3"):
        each = figures.get(kind)
        if each is None:
            told.append(f"{kind} was not measured")
            continue
        if each["same_score"] < 1.0:
            told.append(f"{kind}: {each['other_scores']} of {each['trials']} trials ended otherwise")
        if each["interrupted"] < WANTED:
            told.append(f"{kind}: only {each['interrupted']} of {each['trials']} trials were interrupted")
        if each["over_the_promise"]:
            told.append(
                f"{kind}: {each['over_the_promise']} times more than {each['promise_steps']} steps were done again"
            )
        if each["copy_s_p95"] > STEP_S * EACH:
            told.append(f"{kind}: a copy took {each['copy_s_p95']} s, longer than a checkpoint interval")
    return told


def _run(environment: Mapping[str, str]) -> dict[str, Any]:
    began = time.monotonic()
    times = {"CELERIAC_HEARTBEAT_S": "0.3", "CELERIAC_LEASE_S": "30", **environment}
    with tempfile.TemporaryDirectory(prefix="celeriac-walks-") as place, embedded(1, environment=times) as stack:
        told = Path(place) / "told"
        told.touch()
        with hosts(stack, Path(place), times) as there, stack.client() as client:
            study = client.submit(_spec(told))
            copies: dict[tuple[int, int, datetime], float] = {}
            struck = _interrupt(client, study.id, told, there, copies)
            trials = client.store.trials(study.id, limit=10 * TRIALS)
            resumed = {t.number: client.store.attempts(study.id, t.number) for t in trials}
        again = _repeated(told, resumed)
    scores = {t.number: _undisturbed(t.number, t.params) for t in trials}
    # A directory's checkpoint is one when its row is there, which no copy precedes.
    promise = EACH + (ceil(max(copies.values(), default=0.0) / STEP_S) if "CELERIAC_CHECKPOINTS" in times else 0)
    other = [t.number for t in trials if t.state is not TrialState.SCORED or t.score != scores[t.number]]
    return {
        "trials": len(trials),
        "interrupted": sum(len(each) > 1 for each in resumed.values()),
        "struck": dict(Counter(struck.values())),
        "attempts": sum(map(len, resumed.values())),
        "same_score": 1.0 - len(other) / max(len(trials), 1),
        "other_scores": len(other),
        "repeated_steps": dict(sorted(Counter(again).items())),
        "over_an_interval": sum(steps > EACH for steps in again),
        "over_the_promise": sum(steps > promise for steps in again),
        "interval_steps": EACH,
        "promise_steps": promise,
        "copy_s_p95": round(sorted(copies.values())[int(0.95 * len(copies))], 3) if copies else 0.0,
        "copy_s_most": round(max(copies.values(), default=0.0), 3),
        "took_s": round(time.monotonic() - began, 1),
    }


def _spec(told: Path) -> dict[str, Any]:
    return {
        "study": "walks",
        "code": str(Path(__file__).parent / "walking"),
        "objective": "walk:objective",
        "metric": {"name": "place", "goal": "maximize"},
        "space": {"x": {"float": [0.5, 2.0]}, "told": {"choice": [str(told)]}, "step_s": {"choice": [STEP_S]}},
        "sampler": "random",
        "seed": SEED,
        "budget": {"trials": TRIALS},
    }


def _undisturbed(number: int, params: Mapping[str, Any]) -> float:
    """The score of the same training, run at once in this process with the trial's seed."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        return objective(Trial.offline({**params, "told": os.devnull, "step_s": 0.0}, seed=trial_seed(SEED, number)))


@contextmanager
def hosts(stack: Embedded, place: Path, times: Mapping[str, str]) -> Iterator[dict[str, Host]]:
    """Two hosts beside the stack's own. On S3 each has a directory of its own for checkpoints."""
    shared = stack.settings.checkpoint_root
    with ExitStack() as ends:
        found = {}
        for name in ("a", "b"):
            own = place / name
            environment = {
                **times,
                "CELERIAC_HOME": str(stack.home),
                "CELERIAC_HOST": name,
                "CELERIAC_LOG_ROOT": str(own / "logs"),
                "CELERIAC_CHECKPOINT_ROOT": str(own / "checkpoints" if "CELERIAC_CHECKPOINTS" in times else shared),
            }
            found[name] = Host(name, environment)
            found[name].start()
            ends.callback(found[name].stop)
        yield found


def _interrupt(
    client: Client, study_id: int, told: Path, there: Mapping[str, Host], copies: dict[tuple[int, int, datetime], float]
) -> dict[int, str]:
    """Strike each trial once at a random moment of its first attempts; by which kind, for each. `copies` gets the
    seconds from each checkpoint's report until its row was seen.
    """
    rng, due, struck = random.Random(SEED), {}, {}  # type: ignore[var-annotated]
    until = time.monotonic() + LIMIT_S
    while client.store.study(study_id).state not in CLOSED:
        if time.monotonic() > until:
            raise TimeoutError(f"the study did not end within {LIMIT_S:g} s: {client.store.study(study_id).counts}")
        now = time.monotonic()
        for attempt in client.store.running_attempts([study_id]):
            if attempt.saved_at is not None:
                key = (attempt.number, attempt.attempt, attempt.saved_at)
                copies.setdefault(key, (datetime.now(UTC) - attempt.saved_at).total_seconds())
            if attempt.number in struck:
                continue
            at = due.setdefault((attempt.number, attempt.attempt), now + rng.uniform(0.2, 10 * STEP_S))
            if now >= at and (kind := _strike(rng.choice(KINDS), attempt, client, told, there, rng)):
                struck[attempt.number] = kind
        time.sleep(0.03)
    return struck


def _strike(
    kind: str, attempt: RunningAttempt, client: Client, told: Path, there: Mapping[str, Host], rng: random.Random
) -> str:
    """Do it; "" when the attempt is over already, or its host cannot be drained now."""
    host = attempt.worker.partition("@")[2]
    with suppress(psutil.NoSuchProcess, IndexError):
        if kind == "drain":
            return kind if host in there and there[host].drain() else ""
        if kind == "preempt":
            return kind if client.store.preempt([attempt.token], "the bench wants its slot") else ""
        worker = _worker_of(attempt.worker)
        if kind == "sigterm":
            worker.terminate()
            return kind
        what = rng.choice(("process", "pool", "worker"))
        if what == "process":
            psutil.Process(_pid_of(told, attempt)).kill()
        else:
            (worker if what == "worker" else worker.children()[0]).kill()
        return f"kill -9 of its {what}"
    return ""


def _worker_of(name: str) -> psutil.Process:
    """The main process of a slot's Celery worker."""
    for process in psutil.process_iter(["cmdline", "ppid"]):
        words = process.info["cmdline"] or []
        if name in words and "worker.slot.celery_worker" in words:
            parent = psutil.Process(process.info["ppid"]).cmdline()
            if name not in parent:
                return process
    raise psutil.NoSuchProcess(-1, name)


def _pid_of(told: Path, attempt: RunningAttempt) -> int:
    """The process that the attempt's last step began in. Raises IndexError before the first."""
    mine = [line.split() for line in told.read_text().splitlines()]
    return int([line[3] for line in mine if line[:2] == [str(attempt.number), str(attempt.attempt)]][-1])


def _repeated(told: Path, attempts: Mapping[int, list[Any]]) -> list[int]:
    """For each interruption, how many steps were begun again."""
    begun: dict[tuple[int, int], list[int]] = defaultdict(list)
    for line in told.read_text().splitlines():
        number, attempt, step, _ = map(int, line.split())
        begun[number, attempt].append(step)
    found = []
    for number, of_trial in attempts.items():
        for before, after in pairwise(of_trial):
            start = -1 if after.resumed_step is None else after.resumed_step
            steps = [step for each in of_trial[: before.number] for step in begun[number, each.number]]
            reached = max(steps, default=-1)
            found.append(max(reached - start, 0))
    return found
