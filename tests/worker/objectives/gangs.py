"""Objectives that run on several slots at once; they import torch, as users' scripts do."""

import os
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from celeriac.trial import Trial, own_process_group

STEPS = 6


def sums(trial: Trial) -> float | None:
    """Add up what all ranks bring to each step, the same sum in any world; hold at a step until told to go on."""
    place, total = Path(trial.params["dir"]), 0.0
    if trial.checkpoint:
        total = float(Path(trial.checkpoint).read_text())
    (place / f"pid-{trial.attempt}-{trial.rank}").write_text(f"{os.getpid()} {trial.world}")
    plan = trial.batch_plan(96, per_device_max=96)
    if trial.rank == trial.params.get("short") and plan.largest > trial.params["fits"]:
        raise MemoryError(f"{plan.largest} samples are too many for rank {trial.rank}")
    for step in range(trial.start, STEPS):
        part = torch.tensor([float(step) / trial.world])
        dist.all_reduce(part)
        total += part.item()
        hold = place / f"hold-{trial.attempt}-{step}"
        if hold.exists() and trial.rank == 0:
            (place / f"held-{trial.attempt}-{step}").touch()
        while hold.exists():
            time.sleep(0.02)
        if trial.rank == trial.params.get("fails") and step == 2:
            raise ValueError(f"rank {trial.rank} cannot do this")
        text = str(total)
        trial.report(total, step=step, checkpoint=lambda path, text=text: Path(path).write_text(text))  # type: ignore[misc]
    (place / f"done-{trial.attempt}-{trial.rank}").touch()
    return total if trial.rank == 0 else None


@own_process_group
def as_under_torchrun(trial: Trial) -> float:
    """A script that makes its own process group from its environment, and reports from rank 0 alone."""
    dist.init_process_group("gloo")
    told = torch.tensor([float(os.environ["RANK"]), float(os.environ["LOCAL_RANK"]), 1.0])
    dist.all_reduce(told)
    if dist.get_rank() == 0:
        trial.report(told[0].item(), step=0)
    dist.destroy_process_group()
    return float(told.sum())


def asked_as_by_optuna(trial: Any) -> float | None:
    """Written for Optuna: each rank asks for its parameters, and all see the same; each stops where rank 0 does."""
    x, own = trial.suggest_float("x", 0.0, 8.0), trial.celeriac
    told = torch.tensor([float(x), 1.0])
    dist.all_reduce(told)
    for step in range(3):
        trial.report(float(told[0]) + step, step)
        if trial.should_prune():
            raise RuntimeError(f"rank {own.rank} was asked to stop")
    trial.set_user_attr("world", int(told[1]))
    return float(told[0]) if own.rank == 0 else None
