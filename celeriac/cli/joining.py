"""How a host joins a service: `celeriac worker` is its node; `--slurm` prints the batch file for one as a job."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from celeriac.cli.service import Slots, become
from celeriac.cli.slurm import SlurmJob, batch_file

ForSlurm = Annotated[
    bool, typer.Option("--slurm", help="Print a batch file for sbatch: a node as a Slurm job that queues itself again.")
]
Gpus = Annotated[int, typer.Option("--gpus", help="With --slurm: GPUs of each job; 0: CPU slots, --slots of them.")]
Limit = Annotated[str, typer.Option("--time", help="With --slurm: the job's time limit, as Slurm writes it.")]
More = Annotated[
    list[str] | None,
    typer.Option("--sbatch", help="With --slurm: one more option of sbatch, such as --partition=gpu; may be repeated."),
]
Environment = Annotated[
    Path, typer.Option("--environment", help="With --slurm: the file with the service's addresses and passwords.")
]


def worker(
    slots: Slots = 0,
    slurm: ForSlurm = False,
    gpus: Gpus = 1,
    time: Limit = "04:00:00",
    sbatch: More = None,
    environment: Environment = Path("~/.celeriac/worker.env"),
) -> None:
    """Be this host's node: run the service's trials on its GPUs (or on CPU slots) until told to stop."""
    if not slurm:
        become("worker", *(["--slots", str(slots)] if slots else []))
    if slots:
        gpus = 0
    job = SlurmJob(
        time=time,
        gpus=gpus,
        cpus=slots or 1,
        environment=shlex.quote(str(environment.expanduser().absolute())),
        program=shlex.join([sys.executable, "-P", "-m", "worker"]),
        options=tuple(sbatch or ()),
    )
    print(batch_file(job), end="")
