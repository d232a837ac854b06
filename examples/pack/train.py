"""A small network on scikit-learn's handwritten digits, up to sixteen of them trained as one: plain torch.

`objective(pack)` trains all trials of a pack by `torch.func.vmap`: one stack of parameters, one row a trial.
`alone(trial)` trains one by an `nn.Module` and `torch.optim.SGD`. Both come to the same losses. `python train.py` runs
both without any service, and shows them side by side.
"""

import copy

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from celeriac import Pack, Result, Trial

EPOCHS = 20
BATCH = 16
SAVED_EVERY = 5  # epochs
TRAIN = 1437  # the other 360 of the 1,797 images are for validation


def split() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Images (pixels scaled to 0..1) and their digits, for training and validation."""
    images, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(digits))
    parts = np.split(order, [TRAIN])
    return [(torch.from_numpy(images[part] / 16), torch.from_numpy(digits[part].astype(np.int64))) for part in parts]


# Loaded once, when the module is imported: every pack's process is a fork that shares these pages.
DATA = split()


def network(width: int, seed: int) -> nn.Module:
    """Two hidden layers; the trial's seed draws the weights."""
    torch.manual_seed(seed)
    layers = [nn.Linear(64, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 10)]
    return nn.Sequential(*layers).double()


def batches(epoch: int) -> tuple[torch.Tensor, ...]:
    """The images' numbers, in an order of this epoch that is alike for all trials."""
    order = torch.randperm(TRAIN, generator=torch.Generator().manual_seed(epoch))
    return order.split(BATCH)


def is_saved(epoch: int) -> bool:
    """Whether an epoch ends with a checkpoint."""
    return epoch % SAVED_EVERY == SAVED_EVERY - 1


class Stack:
    """As many networks as trials, and SGD with momentum for all of them: every tensor has a row for each."""

    def __init__(self, trials, device: str) -> None:
        models = [network(trial.params["width"], trial.seed) for trial in trials]
        self.weights, _ = stack_module_state(models)
        for name, each in self.weights.items():
            self.weights[name] = each.detach().to(device).requires_grad_()
        self.speed = {name: torch.zeros_like(each) for name, each in self.weights.items()}
        self.skeleton = copy.deepcopy(models[0]).to("meta")
        names = ("lr", "momentum", "weight_decay")
        self.rates = {
            name: torch.tensor([trial.params[name] for trial in trials], dtype=torch.float64) for name in names
        }
        self.losses = vmap(self.loss, in_dims=(0, None, None))

    def loss(self, weights, images, digits):
        """Of one network; `vmap` makes it that of all."""
        return nn.functional.cross_entropy(functional_call(self.skeleton, weights, (images,)), digits)

    def step(self, images, digits) -> None:
        """What `torch.optim.SGD` does, each row with its own rates. No row's loss depends on another row, so that the
        gradient of their sum is that of each.
        """
        summed = self.losses(self.weights, images, digits).sum()
        gradients = torch.autograd.grad(summed, list(self.weights.values()))
        with torch.no_grad():
            for gradient, (name, weight) in zip(gradients, self.weights.items(), strict=True):
                lr, momentum, decay = (each.view(-1, *[1] * (weight.dim() - 1)) for each in self.rates.values())
                speed = self.speed[name].mul_(momentum).add_(gradient).addcmul_(decay, weight)
                weight.addcmul_(lr, speed, value=-1)

    def keep(self, places: list[int]) -> None:
        """Go on with these rows."""
        for tensors in (self.weights, self.speed, self.rates):
            for name, each in tensors.items():
                tensors[name] = each.detach()[places].requires_grad_(each.requires_grad)

    def save(self, place: int, path: str) -> None:
        """The checkpoint of one trial: its row."""
        row = [
            {name: each[place].detach().clone() for name, each in part.items()} for part in (self.weights, self.speed)
        ]
        torch.save(row, path)

    def load(self, place: int, path: str) -> None:
        """Go on from it."""
        for part, row in zip((self.weights, self.speed), torch.load(path), strict=True):
            for name, each in row.items():
                part[name].data[place] = each


def objective(pack: Pack) -> list[Result]:
    """Train all trials of the pack; the score of each is its validation loss."""
    torch.set_num_threads(1)  # the slots of a machine are its parallelism
    train, validation = ([each.to(pack.device) for each in part] for part in DATA)
    stack = Stack(pack.trials, pack.device)
    for place, trial in enumerate(pack.trials):
        if trial.checkpoint:
            stack.load(place, trial.checkpoint)
    for epoch in range(pack.start, EPOCHS):
        for batch in batches(epoch):
            stack.step(train[0][batch], train[1][batch])
        losses = stack.losses(stack.weights, *validation).detach()
        kept = pack.report(losses, step=epoch, checkpoint=stack.save if is_saved(epoch) else None)
        if len(kept) < len(losses):
            stack.keep(kept)
    return [Result(each, step=EPOCHS - 1) for each in stack.losses(stack.weights, *validation).tolist()]


def alone(trial: Trial) -> Result:
    """The same for one trial, as one writes it without packs."""
    torch.set_num_threads(1)
    train, validation = ([each.to(trial.device) for each in part] for part in DATA)
    model = network(trial.params["width"], trial.seed).to(trial.device)
    rates = {name: trial.params[name] for name in ("lr", "momentum", "weight_decay")}
    optimizer = torch.optim.SGD(model.parameters(), **rates)
    if trial.checkpoint:
        saved = torch.load(trial.checkpoint)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
    for epoch in range(trial.start, EPOCHS):
        for batch in batches(epoch):
            loss = nn.functional.cross_entropy(model(train[0][batch]), train[1][batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            loss = nn.functional.cross_entropy(model(validation[0]), validation[1])
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        save = lambda path, state=state: torch.save(state, path)  # noqa: E731
        trial.report(loss, step=epoch, checkpoint=save if is_saved(epoch) else None)
    return Result(loss, step=EPOCHS - 1)


if __name__ == "__main__":
    tried = [{"lr": lr, "momentum": 0.9, "weight_decay": 1e-4, "width": 32} for lr in (0.001, 0.01, 0.05, 0.1)]
    together = Pack.offline(tried, seed=7)
    together.conclude(objective(together))
    for trial in together.trials:
        single = Trial.offline(trial.params, seed=trial.seed)
        loss = alone(single).score.item()
        print(f"lr {trial.params['lr']:g}: {trial.result.score:.12f} in the pack, {loss:.12f} alone")
