"""A small network on scikit-learn's handwritten digits: plain torch, with three lines of Celeriac in `objective`.

The service runs `objective(trial)` for each trial; `python train.py` runs it once without any service. The data are
split once, the same way for every trial: the score is the validation accuracy of the best epoch, and the test accuracy
at that same epoch goes along as a metric, which the search never sees.
"""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from celeriac import Result, Trial

EPOCHS = 20
BATCH = 32
TRAIN, VALIDATION = 1077, 360  # the remaining 360 of the 1,797 images are the test set


def split() -> list[tuple[np.ndarray, np.ndarray]]:
    """Images (pixels scaled to 0..1) and their digits, for training, validation and test."""
    images, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(digits))
    parts = np.split(order, [TRAIN, TRAIN + VALIDATION])
    return [((images[part] / 16).astype(np.float32), digits[part].astype(np.int64)) for part in parts]


# Loaded once, when the module is imported: every trial's process is a fork that shares these pages.
DATA = split()


def network(params) -> nn.Module:
    """Two hidden layers with dropout."""
    width, dropout = params["width"], params["dropout"]
    hidden = [nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout)]
    hidden += [nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*hidden, nn.Linear(width, 10))


def optimiser(model: nn.Module, params) -> torch.optim.Optimizer:
    """The optimizer that `params` names; momentum counts with sgd only."""
    chosen = {"lr": params["lr"], "weight_decay": params["weight_decay"]}
    if params["optimizer"] == "sgd":
        return torch.optim.SGD(model.parameters(), momentum=params["momentum"], **chosen)
    return torch.optim.AdamW(model.parameters(), **chosen)


def train_one_epoch(model, optimizer, images, digits) -> None:
    model.train()
    for batch in torch.randperm(len(digits), device=digits.device).split(BATCH):
        loss = nn.functional.cross_entropy(model(images[batch]), digits[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def accuracy(model, images, digits) -> float:
    model.eval()
    return (model(images).argmax(1) == digits).double().mean().item()


def objective(trial: Trial) -> Result:
    """Train with `trial.params`; the score is the best epoch's validation accuracy."""
    torch.set_num_threads(1)  # the slots of a machine are its parallelism
    torch.manual_seed(trial.seed)
    train, validation, test = ([torch.from_numpy(a).to(trial.device) for a in part] for part in DATA)
    model = network(trial.params).to(trial.device)
    optimizer = optimiser(model, trial.params)
    best = {"accuracy": -1.0, "test": 0.0, "epoch": 0}
    if trial.checkpoint:
        saved = torch.load(trial.checkpoint, map_location=trial.device)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        best = saved["best"]

    def save(path):
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "best": best}, path)

    for epoch in range(trial.start, EPOCHS):
        torch.manual_seed(trial.seed + epoch)  # a resumed trial goes on exactly as if it had not stopped
        train_one_epoch(model, optimizer, *train)
        score = accuracy(model, *validation)
        if score > best["accuracy"]:
            best = {"accuracy": score, "test": accuracy(model, *test), "epoch": epoch}
        trial.report(score, step=epoch, checkpoint=save)
    return Result(best["accuracy"], metrics={"test": best["test"]}, step=best["epoch"])


if __name__ == "__main__":
    default = {"lr": 0.001, "width": 64, "optimizer": "adam", "dropout": 0.0, "weight_decay": 1e-4}
    print(objective(Trial.offline(default)))
