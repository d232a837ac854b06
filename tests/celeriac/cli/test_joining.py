"""`celeriac worker --slurm`: the batch file, run by a real shell as Slurm runs it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from celeriac.cli.slurm import SlurmJob, batch_file

NODE = """\
import os, signal, sys
told = []
signal.signal(signal.SIGTERM, lambda *_: told.append(1))
print("up", os.environ["CELERIAC_HOST"], os.environ["CELERIAC_BROKER_URL"], *sys.argv[1:], flush=True)
while not told:
    signal.pause()
print("handed back", flush=True)
sys.exit(int(os.environ.get("STATUS", "0")))
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A batch file whose node tells what it gets, beside a `scontrol` that tells what it is asked."""
    (tmp_path / "node.py").write_text(NODE)
    (tmp_path / "worker.env").write_text("CELERIAC_BROKER_URL=redis://hub\n")
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\necho "scontrol $*"\n')
    scontrol.chmod(0o755)
    made = SlurmJob("04:00:00", 0, 2, str(tmp_path / "worker.env"), f"{sys.executable} {tmp_path / 'node.py'}")
    (tmp_path / "job.sbatch").write_text(batch_file(made))
    return tmp_path / "job.sbatch"


def played(job: Path, *, told: int | None, **environment: str) -> tuple[list[str], int]:
    """What the job prints, and its status, when Slurm sends its shell this signal once the node is up."""
    path = f"{job.parent}{os.pathsep}{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, "SLURM_JOB_ID": "17", **environment}
    with subprocess.Popen(["bash", str(job)], stdout=subprocess.PIPE, text=True, env=environ) as shell:
        assert shell.stdout is not None
        first = shell.stdout.readline()
        if told is not None:
            shell.send_signal(told)
        rest = shell.stdout.read()
    return (first + rest).splitlines(), shell.returncode


def test_before_the_time_limit_trials_are_handed_back_and_the_job_queues_itself_again(job: Path) -> None:
    lines, status = played(job, told=signal.SIGUSR1)
    assert lines[0].endswith("-17 redis://hub --slots 2")
    assert (lines[1:], status) == (["handed back", "scontrol requeue 17"], 0)


def test_a_cancelled_job_hands_its_trials_back_and_is_gone(job: Path) -> None:
    lines, status = played(job, told=signal.SIGTERM)
    assert (lines[1:], status) == (["handed back"], 0)


def test_the_status_is_the_nodes(job: Path) -> None:
    assert played(job, told=signal.SIGTERM, STATUS="2")[1] == 2


def test_a_job_asks_for_gpus_and_for_what_else_a_cluster_wants() -> None:
    text = batch_file(SlurmJob("1-00:00:00", 4, 1, "/etc/worker.env", "node", ("--partition=gpu", "--account=vision")))
    assert "#SBATCH --job-name=celeriac --time=1-00:00:00 --gres=gpu:4 --partition=gpu --account=vision" in text
    assert "setsid node & node=$!" in text
    assert len(text.splitlines()) <= 12
