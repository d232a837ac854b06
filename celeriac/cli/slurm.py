"""The batch file by which Slurm runs a worker's node: `celeriac worker --slurm`. Rule: ten lines that a person can
read, and no state of our own; Slurm's queue is the only list of jobs.

Before the time limit Slurm sends USR1 to the batch shell (`--signal=B:USR1@…`): the node hands its trials back with
their checkpoints and ends, and the job puts itself back into the queue under its own number. TERM (`scancel`,
pre-emption) does the same without going back: who cancels a job wants it gone, and a pre-empted one is queued again by
Slurm itself.
"""

from dataclasses import dataclass

#: Seconds from Slurm's signal to its time limit: checkpoints are written (30 s), processes ended, leases given back.
HAND_BACK_S = 120

_SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=celeriac --time={time} {place}
#SBATCH --signal=B:USR1@{hand_back_s} --requeue --open-mode=append --output=celeriac-%j.log
set -a; . {environment}; set +a                      # the service's addresses and passwords; mode 0600
export CELERIAC_HOST="$(hostname)-$SLURM_JOB_ID"     # two jobs on one machine are two hosts
trap 'kill -TERM "$node"' TERM                       # cancelled, or pre-empted
trap 'again=yes; kill -TERM "$node"' USR1            # the time is nearly over
setsid {program} & node=$!
wait "$node"; status=$?
while kill -0 "$node" 2>/dev/null; do wait "$node"; status=$?; done   # trials write checkpoints and are handed back
[ "$again" ] && exec scontrol requeue "$SLURM_JOB_ID"
exit "$status"
"""


@dataclass(frozen=True, slots=True)
class SlurmJob:
    """What differs between clusters. `time`: as Slurm writes it; `gpus`: of each job (0: `cpus` processors and CPU
    slots); `options`: more of sbatch's own, such as `--partition=gpu`.
    """

    time: str
    gpus: int
    cpus: int
    environment: str
    program: str
    options: tuple[str, ...] = ()


def batch_file(job: SlurmJob) -> str:
    """The file for `sbatch`."""
    resources = f"--gres=gpu:{job.gpus}" if job.gpus else f"--cpus-per-task={job.cpus}"
    return _SCRIPT.format(
        time=job.time,
        place=" ".join((resources, *job.options)),
        hand_back_s=HAND_BACK_S,
        environment=job.environment,
        program=job.program if job.gpus else f"{job.program} --slots {job.cpus}",
    )
