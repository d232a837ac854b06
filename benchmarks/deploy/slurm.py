"""A node as a job of a real Slurm: trials run on it, are handed back before its time limit, and go on in the job that
it queues again; `scancel` ends it for good.

Needs a Slurm that answers `sinfo` (one node with two processors is enough). Takes about six minutes: Slurm counts time
limits in minutes.
"""

import os
import shutil
import subprocess
import sys

from benchmarks.deploy.awaiting import until
from benchmarks.deploy.steady import steady
from benchmarks.embedded import Embedded, embedded
from celeriac.domain.records import Fault, Outcome, StudyState, TrialState

TRIALS = 30


def missing() -> str:
    """What this machine lacks; "" when it has a Slurm."""
    if shutil.which("sbatch") is None or not _said("sinfo", "-h", "-o", "%t", check=False):
        return "no Slurm answers here (sbatch, sinfo)"
    return ""


def prove() -> str:
    """What held, in a line. Raises AssertionError."""
    with embedded(slots=1) as stack:
        client = stack.client()
        study = client.submit(steady("steady", TRIALS, "count"))
        job = _submitted(stack)
        host = f"{_said('hostname')}-{job}"
        until(lambda: any(each.host == host for each in client.store.devices(alive=True)), 120.0, "its node is up")
        until(lambda: _restarts(job) == 1, 300.0, "the job has queued itself again")
        until(lambda: study.state is StudyState.DONE, 600.0, "all trials are finished")
        trials = client.store.trials(study.record.id, limit=TRIALS)
        assert all(each.state is TrialState.SCORED and each.score == 40 for each in trials), trials
        attempts = [each for trial in trials for each in client.store.attempts(study.record.id, trial.number)]
        there = [each for each in attempts if each.worker.endswith(f"@{host}")]
        back = [each for each in there if each.outcome is Outcome.RELEASED]
        assert back, there
        assert all(each.fault is Fault.PREEMPTED for each in back), back
        _said("scancel", str(job))
        until(lambda: _state(job) == "CANCELLED", 90.0, "scancel has ended it")
        client.close()
    return f"{len(there)} attempts in job {job}, {len(back)} handed back before its limit, {TRIALS} of {TRIALS} scored"


def _submitted(stack: Embedded) -> int:
    environment = stack.home / "worker.env"
    environment.write_text(f"CELERIAC_HOME={stack.home}\n")
    file = stack.home / "worker.sbatch"
    told = [sys.executable, "-m", "celeriac.cli", "worker", "--slurm", "--slots", "2", "--time", "00:03:00"]
    file.write_text(_said(*told, "--environment", str(environment)) + "\n")
    return int(_said("sbatch", "--parsable", "--chdir", str(stack.home), str(file)))


def _restarts(job: int) -> int:
    return int(_field(job, "Restarts") or 0)


def _state(job: int) -> str:
    return _field(job, "JobState")


def _field(job: int, name: str) -> str:
    words = _said("scontrol", "-o", "show", "job", str(job)).split()
    return next((word.partition("=")[2] for word in words if word.startswith(f"{name}=")), "")


def _said(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=check, env=os.environ)
    return done.stdout.strip()
