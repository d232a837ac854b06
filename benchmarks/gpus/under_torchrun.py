"""`examples/gang` as a script for torchrun: the same objective, with its checkpoint in a directory and its score in a
file. Each process writes its pid there first.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch.distributed as dist

from celeriac import Trial

PLACE, EXAMPLE = Path(sys.argv[1]), sys.argv[2]
EPOCHS = int(sys.argv[3])


class Kept:
    """Keeps the newest checkpoint's step and path, as the service's rows do; nobody asks it to stop."""

    def send(self, message: dict[str, Any]) -> None:
        """Each report replaces the one before."""
        if message["kind"] == "report" and "checkpoint" in message:
            fresh = PLACE / "newest.json.tmp"
            fresh.write_text(json.dumps({"step": message["step"], "path": message["checkpoint"]["path"]}))
            fresh.rename(PLACE / "newest.json")

    def poll(self) -> None:
        """Never asks for anything."""


def main() -> None:
    """Train, or go on training, and write the score."""
    sys.path.insert(0, EXAMPLE)
    from train import objective  # type: ignore[import-not-found] # of the example

    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    (PLACE / f"pid-{rank}").write_text(str(os.getpid()))
    newest = json.loads((PLACE / "newest.json").read_text()) if (PLACE / "newest.json").exists() else None
    trial = Trial(
        {"lr": 0.02, "width": 32},
        channel=Kept(),
        root=PLACE,
        directory=PLACE / "checkpoints",
        context={"epochs": EPOCHS},
        seed=7,
        attempt=int(os.environ["TORCHELASTIC_RESTART_COUNT"]) + 1,
        checkpoint=str(PLACE / newest["path"]) if newest else None,
        start=newest["step"] + 1 if newest else 0,
        rank=rank,
        world=world,
    )
    result = objective(trial)
    if rank == 0:
        (PLACE / "score").write_text(str(result.score))


if __name__ == "__main__":
    main()
