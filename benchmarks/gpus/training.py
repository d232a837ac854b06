"""One small training in float64 on one or several processes over gloo: `python -m benchmarks.gpus.training JSON`.

The plan of the run is the JSON argument (`Run`); rank 0 prints its losses, one an optimizer's step, as one JSON line.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

SAMPLES = 500
TIMEOUT_S = 150


@dataclass(frozen=True)
class Run:
    """Which training: `most` samples a device, `world` processes. `meet`: the file by which they find each other."""

    batch: int
    most: int
    world: int = 1
    epochs: int = 3
    rank: int = 0
    meet: str = ""


def train(run: Run) -> list[float]:
    """Losses of a digits-sized network on made-up data, SGD with momentum: the mean over each global batch."""
    import torch

    from celeriac import Trial

    torch.set_num_threads(1)
    torch.manual_seed(7)
    x = torch.randn(SAMPLES, 16, dtype=torch.float64)
    y = torch.randint(0, 4, (SAMPLES,))
    layers = (torch.nn.Linear(16, 24), torch.nn.Tanh(), torch.nn.LayerNorm(24), torch.nn.Linear(24, 4))
    model = torch.nn.Sequential(*layers).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=run.batch, shuffle=True)
    if run.world > 1:
        meet = f"file://{run.meet}"
        torch.distributed.init_process_group("gloo", init_method=meet, rank=run.rank, world_size=run.world)
    training = Trial.offline({}, seed=3).distributed(model, optimizer, loader, per_device_max=run.most)
    losses = []
    for _ in range(run.epochs):
        for inputs, labels in training:
            training.backward(torch.nn.functional.cross_entropy(training.model(inputs), labels))
            if training.step():
                losses.append(training.loss)
    if run.world > 1:
        torch.distributed.destroy_process_group()
    return losses


def losses_of(run: Run) -> list[float]:
    """The loss curve of such a run on processes of its own. Raises RuntimeError with what a failed one printed."""
    with tempfile.TemporaryDirectory() as place:
        members = []
        for rank in range(run.world):
            told = {**asdict(run), "rank": rank, "meet": str(Path(place) / "meet")}
            command = [sys.executable, "-m", "benchmarks.gpus.training", json.dumps(told)]
            environ = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
            pipe = subprocess.PIPE
            members.append(subprocess.Popen(command, env=environ, stdout=pipe, stderr=pipe, text=True))
        try:
            told_back = [each.communicate(timeout=TIMEOUT_S) for each in members]
        finally:
            for each in members:
                each.kill()
    for each, (_, errors) in zip(members, told_back, strict=True):
        if each.returncode:
            raise RuntimeError(f"a process of {run} ended with code {each.returncode}:\n{errors}")
    found: list[float] = json.loads(told_back[0][0].splitlines()[-1])
    return found


if __name__ == "__main__":
    print(json.dumps(train(Run(**json.loads(sys.argv[1])))))
