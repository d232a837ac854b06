"""Write `benchmarks/data/flights_seeds.npz`: hold-out log losses of the flights' network, by seed and block.

    python -m benchmarks.nights.flights_seeds

Three nights (one for each airport), two sets of parameters, 12 seeds, 28 blocks: the hold-out days' flights in order of
time, cut into equal parts. A run is judged at its best epoch on the validation days, as in `examples/flights/train.py`.
What is there is not trained again.
"""

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path("benchmarks/data/flights_seeds.npz")
NIGHTS = (("JFK", "2013-10-01"), ("LGA", "2013-06-15"), ("EWR", "2013-08-20"))
CHAMPION = {"lr": 1e-3, "weight_decay": 0.01, "width": 64, "depth": 2, "dropout": 0.0, "embedding": 8, "batch": 256}
CHALLENGER = {"lr": 2e-3, "weight_decay": 0.1, "width": 32, "depth": 2, "dropout": 0.2, "embedding": 4, "batch": 512}
DAYS, SEEDS, BLOCKS = 120, 12, 28


def losses(airport: str, due: str, params: dict[str, Any], seed: int) -> np.ndarray:
    """The mean log loss of each hold-out block at the best validation epoch of one training."""
    import torch

    sys.path.insert(0, "examples/flights")  # where a trial's process finds the script's own modules
    flights, night = import_module("train"), import_module("departures").night

    torch.set_num_threads(1)
    parts = night(flights.TABLE, airport, f"{due}T06:00:00+00:00")
    tensors = {
        name: [torch.from_numpy(part.numbers), torch.from_numpy(part.codes), torch.from_numpy(part.late)]
        for name, part in parts.items()
    }
    torch.manual_seed(seed)
    model = flights.Network(params)
    optimizer = torch.optim.AdamW(model.parameters(), lr=params["lr"], weight_decay=params["weight_decay"])
    best, kept = np.inf, np.zeros(0)
    for epoch in range(flights.EPOCHS):
        torch.manual_seed(seed + epoch)
        flights.train_one_epoch(model, optimizer, params["batch"], *tensors["train"])
        loss, _ = flights.judge(model, *tensors["validation"])
        if loss < best:
            best, kept = loss, _each(model, *tensors["holdout"])
    return np.array([part.mean() for part in np.array_split(kept, BLOCKS)])


def _each(model: Any, numbers: Any, codes: Any, late: Any) -> np.ndarray:
    import torch

    model.eval()
    with torch.no_grad():
        logits = model(numbers, codes).double()
        found = torch.nn.functional.binary_cross_entropy_with_logits(logits, late.double(), reduction="none")
    return np.asarray(found.numpy())


def main() -> None:
    """Train what is missing, for at most `--seconds`, and write the file."""
    parser = argparse.ArgumentParser(prog="benchmarks.nights.flights_seeds", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    options = parser.parse_args()
    shape = (len(NIGHTS), 2, SEEDS, BLOCKS)
    table = np.load(FILE)["loss"] if FILE.exists() else np.full(shape, np.nan, "float32")
    started = time.monotonic()
    for at in np.ndindex(shape[:3]):
        if np.isnan(table[at]).any() and time.monotonic() - started < options.seconds:
            night, who, seed = at
            # A seed of its own for each run: what two runs share by the same seed is added by the simulation.
            table[at] = losses(*NIGHTS[night], (CHAMPION, CHALLENGER)[who], 1000 * (who + 1) + seed)
            np.savez_compressed(FILE, loss=table)
    print(f"{int(np.isnan(table).any(-1).sum())} of {np.prod(shape[:3])} trainings are missing")


if __name__ == "__main__":
    main()
