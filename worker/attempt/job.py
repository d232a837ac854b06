"""What a lease means on this host: where its code lies, looked at before each trial, and the job that its process is
given.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from celeriac.decide.memory import after_memory
from celeriac.domain.records import Checkpoint, Lease, Place
from celeriac.runtime.fingerprint import same_code
from worker.attempt.checkpoints import directory
from worker.attempt.context import WorkerContext
from worker.devices import mps
from worker.process.calls import COMMAND
from worker.process.frames import Job, MemberJob
from worker.process.server_handle import Code

NO_LIMITS: Mapping[str, str] = {}


class CodeDiffers(Exception):
    """The code that the study was submitted with is not on this host: the host's fault, not the trial's."""


def code_of(lease: Lease, context: WorkerContext, *, afresh: bool = False) -> Code:
    """Where it lies, and its fingerprint. Raises CodeDiffers.

    Files are looked at afresh when the study is new to this slot, and before its code is called another.
    """
    afresh = afresh or lease.study_id not in context.studies

    def look(root: Path) -> str:
        return context.fingerprints.of(root, time.monotonic(), afresh=afresh)

    try:
        root, fingerprint = located(lease, context.settings.code_root, look)
    except CodeDiffers:
        if afresh:
            raise
        return code_of(lease, context, afresh=True)
    context.studies.add(lease.study_id)
    plan = lease.plan
    called = (plan.command, COMMAND) if plan.command else (plan.objective, plan.api)
    return Code(str(root), fingerprint, *called)


def located(lease: Lease, ours: Path, look: Callable[[Path], str]) -> tuple[Path, str]:
    """The directory that holds the study's code on this host, and its fingerprint, which `look` takes.

    A schedule's studies run what is there when they are due, and so do those whose fingerprint is not known: for them
    a directory will do that holds the objective's module. Raises CodeDiffers: no directory, or other code in each.
    """
    wanted, module = "" if lease.due_at else lease.fingerprint, lease.plan.objective.partition(":")[0]
    seen = []
    for root in code_roots(lease, ours):
        fingerprint = look(root)
        if not wanted and not _holds(root, module):
            seen.append(f"there is no module {module} below {root}")
        elif same_code(wanted, fingerprint):
            return root, fingerprint
        else:
            seen.append(f"the code below {root} is {fingerprint.split()[0]}")
    if not seen:
        raise CodeDiffers(f"there is no directory {lease.code_root} below the code root {ours}")
    raise CodeDiffers(" and ".join(seen) + (f", the study's is {wanted.split()[0]}" if wanted else ""))


def _holds(root: Path, module: str) -> bool:
    """Whether the module's file, or the package that it is or lies in, is there. What is wrong with a module that is,
    its import will say. A command ("") names no module.
    """
    if not module:
        return True
    top = root / module.partition(".")[0]
    return top.is_dir() or any(root.glob(f"{top.name}.*"))


def code_roots(lease: Lease, ours: Path) -> Iterator[Path]:
    """Where the study's code may lie, below this worker's own code root; the likeliest first.

    A study that was submitted on another host names a path that means nothing here: there the worker's root is the
    code, mounted or in its image, and `code: subdirectory` is looked for below it. Objectives load from nowhere else.
    A root of / is no code.
    """
    allowed = ours.resolve()
    found: list[Path] = []
    for candidate in (allowed / lease.code_root, allowed / lease.plan.code, allowed):
        real = candidate.resolve()
        if real.is_dir() and real.is_relative_to(allowed) and real != Path("/") and real not in found:
            found.append(real)
            yield real


def job_of(
    lease: Lease,
    resumed: Checkpoint | None,
    *,
    checkpoint_root: Path,
    has_gpu: bool,
    judged: bool,
    model_bytes: int,
    limits: Mapping[str, str] = NO_LIMITS,
) -> Job:
    """All that the trial's process is told; `limits`: what of its device it must see in its environment."""
    wants_gpu, place = lease.plan.resources.on_gpu, lease.place
    local_rank = 0 if place is None else place.local_rank
    return Job(
        study=lease.study,
        number=lease.number,
        attempt=lease.attempt,
        params=lease.params,
        seed=trial_seed(lease.plan.seed, lease.number) if lease.seed is None else lease.seed,
        device=f"cuda:{local_rank}" if wants_gpu and has_gpu else "cpu",
        checkpoint_root=str(checkpoint_root),
        checkpoint_dir=directory(lease.study_id, lease.number),
        context=context_of(lease),
        checkpoint=None if resumed is None else str(checkpoint_root / resumed.path),
        start=0 if resumed is None else resumed.step + 1,
        judged=judged,
        keep_model=bool(lease.plan.keep_model) and (place is None or place.rank == 0),
        model_bytes=model_bytes,
        most_samples=after_memory(lease.memory_faults).most_samples,
        gpu_memory_bytes=lease.placed.memory_bytes if wants_gpu and lease.placed else 0,
        learn_space=lease.plan.learn_space,
        rank=0 if place is None else place.rank,
        world=1 if place is None else place.world,
        environment=dict(limits) if place is None else environment_of(place, lease),
    )


def device_limits(lease: Lease, context: WorkerContext) -> Mapping[str, str]:
    """What a trial that shares its GPU must see of its part; nothing where the host has no MPS."""
    placed = lease.placed
    if (
        not context.slot.is_gpu
        or placed is None
        or placed.share >= 1
        or not mps.is_offered(context.servers.environment)
    ):
        return NO_LIMITS
    return mps.limits(placed.share, placed.memory_bytes)


def job_of_pack(
    members: Sequence[tuple[Lease, Checkpoint | None, bool]],
    *,
    checkpoint_root: Path,
    has_gpu: bool,
    model_bytes: int,
    limits: Mapping[str, str] = NO_LIMITS,
) -> Job:
    """All that the process of a pack is told: each trial's lease, the checkpoint that it resumes from, and whether it
    is judged. They begin at one step. `limits`: as for `job_of`, of the whole process.
    """
    jobs = [
        job_of(
            lease,
            resumed,
            checkpoint_root=checkpoint_root,
            has_gpu=has_gpu,
            judged=judged,
            model_bytes=model_bytes,
            limits=limits,
        )
        for lease, resumed, judged in members
    ]
    parts = tuple(
        MemberJob(job.number, job.attempt, job.params, job.seed, job.checkpoint_dir, job.checkpoint, job.judged)
        for job in jobs
    )
    return replace(jobs[0], members=parts)


def environment_of(place: Place, lease: Lease) -> dict[str, str]:
    """What torchrun would tell this member's process, and the devices of its host's members, in their order.

    Rank 0 keeps the store by which they meet. Members of one host meet on its loopback, whatever names it has.
    """
    lead, local = place.peers[0], place.neighbours
    alone = len(place.hosts) == 1
    told = {
        "RANK": place.rank,
        "WORLD_SIZE": place.world,
        "LOCAL_RANK": place.local_rank,
        "LOCAL_WORLD_SIZE": len(local),
        "GROUP_RANK": place.hosts.index(local[0].host),
        "GROUP_WORLD_SIZE": len(place.hosts),
        "ROLE_RANK": place.rank,
        "ROLE_WORLD_SIZE": place.world,
        "MASTER_ADDR": "127.0.0.1" if alone else lead.address,
        "MASTER_PORT": lead.port,
        "TORCHELASTIC_RUN_ID": f"{lease.study}-{lease.number}-{lease.attempt}",
        "TORCHELASTIC_RESTART_COUNT": lease.attempt - 1,
    }
    devices = [each.device for each in local if each.device]
    given = {"CUDA_VISIBLE_DEVICES": ",".join(devices)} if devices else {}
    return {**{name: str(value) for name, value in told.items()}, **given} | (
        {"GLOO_SOCKET_IFNAME": "lo"} if alone else {}
    )


def trial_seed(study_seed: int, number: int) -> int:
    """The trial's own seed, alike on every host and for every attempt; 31 bits, which every generator takes."""
    digest = hashlib.sha256(f"{study_seed}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def context_of(lease: Lease) -> dict[str, Any]:
    """The study's labels and context, and what a schedule's slice tells the objective, which comes before others of
    that name; of a firing `due_at` as ISO text, and `local_date`, the day of it where the slice is: `2026-11-24`.
    """
    told = {**lease.plan.labels, **lease.plan.context, **lease.slice}
    if lease.due_at is None:
        return told
    day = lease.due_at.astimezone(ZoneInfo(lease.plan.timezone)).date().isoformat()
    return {"local_date": day, **told, "due_at": lease.due_at.isoformat()}
