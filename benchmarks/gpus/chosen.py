"""A gang on chosen GPUs, end to end: real coordinator, node, workers and processes; the GPUs stand in a file.

A host of three GPUs with two workers each, and a CPU slot beside it. A trial asks for two or three whole GPUs with
memory and a label: it gets all three, one worker of each. Then one of them falls sick (an Xid fault): its trial must go
on by itself on the two that are left, at no charge, and end with the score of one that nobody disturbed.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.embedded import Embedded, embedded
from benchmarks.gpus.gangs import EXAMPLE, Round, until
from celeriac.client import Client
from celeriac.domain.records import StudyState

GPUS, EPOCHS = 3, 40
LABEL = {"gpu": "simulated"}


def measure() -> dict[str, Any]:
    """Where the members of both rounds were, and what came of the trial."""
    with embedded(1) as stack, stack.client() as client, _box(stack) as gpus:
        until(lambda: sum(each.is_gpu for each in client.devices()) == GPUS, 60)
        alone = Round(stack, client, "one-slot", slots=1, epochs=EPOCHS).whole()
        study = client.submit(_spec())
        until(lambda: _step(client, study.id) >= 5, 120)
        first = _devices(client, study.id)
        _write(gpus, sick="SIM-1")
        began = time.monotonic()
        until(lambda: client.store.trial(study.id, 0).attempts > 1 and _step(client, study.id) >= 0, 120)
        again_s, second = time.monotonic() - began, _devices(client, study.id)
        until(lambda: client.store.study(study.id).state is StudyState.DONE, 300)
        trial = client.store.trial(study.id, 0)
    return {
        "first": first,
        "second": second,
        "again_s": round(again_s, 2),
        "score": trial.score,
        "undisturbed": alone,
        "faults": dict(trial.faults),
    }


def broken(figures: dict[str, Any]) -> list[str]:
    """What was promised and is not so."""
    wrong = []
    if figures["first"] != [f"SIM-{k}" for k in range(GPUS)]:
        wrong.append(f"the first round was on {figures['first']}, and not on all {GPUS} GPUs")
    if figures["second"] != ["SIM-0", "SIM-2"]:
        wrong.append(f"with one GPU sick the trial went on on {figures['second']}")
    if figures["score"] != figures["undisturbed"]:
        wrong.append(f"the score is {figures['score']}, and {figures['undisturbed']} undisturbed")
    if set(figures["faults"]) - {"preempted"}:
        wrong.append(f"it was charged with {figures['faults']}")
    return wrong


@contextmanager
def _box(stack: Embedded) -> Iterator[Path]:
    """The host, for the block; the file that stands for its GPUs."""
    gpus = stack.home / "gpus.json"
    _write(gpus)
    told = {"HOST": "box", "HOME": stack.home, "SIMULATED_GPUS": gpus, "SLOTS_PER_GPU": 2, "LABELS": "gpu=simulated"}
    environment = {**os.environ, **{f"CELERIAC_{name}": str(value) for name, value in told.items()}}
    with (stack.home / "box.log").open("wb") as log:
        node = subprocess.Popen(
            [sys.executable, "-P", "-m", "worker"], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield gpus
    finally:
        node.terminate()
        node.wait(60)


def _write(path: Path, sick: str = "") -> None:
    """The GPUs as they are, one of them with an Xid fault."""
    found = [{"uuid": f"SIM-{k}", "memory": "80GiB"} for k in range(GPUS)]
    path.write_text(json.dumps([{**each, "xids": [79]} if each["uuid"] == sick else each for each in found]))


def _spec() -> dict[str, Any]:
    return {
        "study": "chosen",
        "objective": "train:objective",
        "code": str(EXAMPLE),
        "metric": {"name": "accuracy", "goal": "maximize"},
        "space": {"lr": {"float": [1e-3, 1e-1], "log": True}, "width": {"int": [16, 128], "log": True}},
        "default": {"lr": 0.02, "width": 32},
        "sampler": "random",
        "seed": 7,
        "budget": {"trials": 1},
        "resources": {"gpus": {"min": 2, "max": GPUS}, "gpu_memory": "40GiB", "labels": LABEL},
        "context": {"epochs": EPOCHS},
    }


def _step(client: Client, study_id: int) -> int:
    """What its trial reported last; -1: nothing yet in this attempt."""
    found = client.store.trials(study_id, limit=1)
    return found[0].last_step if found and found[0].last_step is not None else -1


def _devices(client: Client, study_id: int) -> list[str]:
    """Where the members of its trial are."""
    return sorted(each.device for each in client.store.gang_places(study_id, [0]))
