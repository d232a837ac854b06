"""The digits network on several slots at once: plain torch, gloo or NCCL, and the same result on any number of them.

Each batch of 64 is cut by `trial.batch_plan`, each process takes its part, and the gradients are summed: the numbers
are those of one process, whoever joins or leaves. `python train.py` runs it once, alone and without any service.
"""

import numpy as np
import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn

from celeriac import Result, Trial

BATCH = 64
TRAIN, VALIDATION = 1077, 360  # the remaining 360 of the 1,797 images are the test set


def split() -> list[tuple[np.ndarray, np.ndarray]]:
    """Images (pixels scaled to 0..1) and their digits, for training, validation and test."""
    images, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(digits))
    parts = np.split(order, [TRAIN, TRAIN + VALIDATION])
    return [(images[part] / 16, digits[part].astype(np.int64)) for part in parts]


DATA = split()


def network(width: int) -> nn.Module:
    """Two hidden layers, in float64: sums in another order then differ too little to change a score."""
    layers = [nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)]
    return nn.Sequential(*layers).double()


def train_one_epoch(trial: Trial, model, optimizer, images, digits) -> None:
    plan = trial.batch_plan(BATCH, per_device_max=BATCH)
    for batch in torch.randperm(len(digits)).split(BATCH):
        part = plan.of(len(batch))
        optimizer.zero_grad(set_to_none=False)
        for place, weight in zip(part.places, part.weights, strict=True):
            mine = batch[place]
            if len(mine):
                loss = nn.functional.cross_entropy(model(images[mine]), digits[mine])
                (weight * loss).backward()
        if trial.world > 1:
            for parameter in model.parameters():
                dist.all_reduce(parameter.grad)
        optimizer.step()


@torch.no_grad()
def accuracy(model, images, digits) -> float:
    return (model(images).argmax(1) == digits).double().mean().item()


def objective(trial: Trial) -> Result:
    """Train with `trial.params`; the score is the best epoch's validation accuracy."""
    torch.set_num_threads(1)  # the slots of a machine are its parallelism
    torch.manual_seed(trial.seed)
    train, validation, test = ([torch.from_numpy(a).to(trial.device) for a in part] for part in DATA)
    model = network(trial.params["width"]).to(trial.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=trial.params["lr"], momentum=0.9)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)  # also where this process has no part of the first batch
    best = {"accuracy": -1.0, "test": 0.0, "epoch": 0}
    if trial.checkpoint:
        saved = torch.load(trial.checkpoint, map_location=trial.device)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        best = saved["best"]

    def save(path):
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "best": best}, path)

    for epoch in range(trial.start, int(trial.context.get("epochs", 20))):
        torch.manual_seed(trial.seed + epoch)  # every process draws the same order, also after a resume
        train_one_epoch(trial, model, optimizer, *train)
        score = accuracy(model, *validation)
        if score > best["accuracy"]:
            best = {"accuracy": score, "test": accuracy(model, *test), "epoch": epoch}
        trial.report(score, step=epoch, metrics={"world": trial.world}, checkpoint=save)
    return Result(best["accuracy"], metrics={"test": best["test"]}, step=best["epoch"])


if __name__ == "__main__":
    print(objective(Trial.offline({"lr": 0.05, "width": 64})))
