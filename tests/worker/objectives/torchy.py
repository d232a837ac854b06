"""Loads torch when imported, as users' scripts do."""

import time

import numpy as np
import torch

from celeriac.trial import Result, Trial

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def timed(trial: Trial) -> Result:
    first_line_s = time.monotonic()
    return Result(1.0, metrics={"first_line_s": first_line_s, "last_line_s": time.monotonic()})


def seeded(trial: Trial) -> Result:
    return Result(float(torch.rand(()).item()), metrics={"numpy": float(np.random.rand())})


def returned(trial: Trial) -> object:
    """One function for several ends, so that one server, with one import of torch, serves them all."""
    return {"tensor": _tensor, "vector": _vector, "large": _large, "cuda": _cuda, "loader": _loader}[
        trial.params["what"]
    ]()


def _tensor() -> torch.Tensor:
    return torch.tensor(0.25)


def _vector() -> torch.Tensor:
    return torch.ones(3)


def _large() -> float:
    return float(torch.empty(1 << 50).sum())


def _cuda() -> float:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def _loader() -> float:
    """Leaves a loader's process behind, as an unfinished epoch does."""
    data = torch.utils.data.TensorDataset(torch.arange(64.0))
    loader = torch.utils.data.DataLoader(data, batch_size=4, num_workers=1, persistent_workers=True)
    (batch,) = next(iter(loader))
    return float(batch.mean())
