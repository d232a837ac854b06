"""A small network on scikit-learn's handwritten digits, trained with the same batches on any number of devices.

The parameter `batch` is the global batch: on one device that takes 64 images at once a batch of 256 is four
accumulation steps, on four devices it is one step, and the training is the same. `python train.py` runs it once on this
process; `torchrun --nproc-per-node 3 train.py` runs it on three.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from celeriac import Result, Trial

EPOCHS = 15
FITS = 64  # images that a device takes at once; made small here, so that batches are cut
TRAIN = 1437  # the other 360 of the 1,797 images are for validation


def split() -> tuple[TensorDataset, tuple[torch.Tensor, torch.Tensor]]:
    """Images (pixels scaled to 0..1) and their digits, for training and for validation."""
    images, digits = load_digits(return_X_y=True)
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    x, y = torch.tensor(images / 16, dtype=torch.float32)[order], torch.tensor(digits)[order]
    return TensorDataset(x[:TRAIN], y[:TRAIN]), (x[TRAIN:], y[TRAIN:])


# Loaded once, when the module is imported: every trial's process is a fork that shares these pages.
DATA, VALIDATION = split()


def network(width: int) -> nn.Module:
    """Two layers; LayerNorm, which sees each image by itself, where BatchNorm would see the micro-batch."""
    return nn.Sequential(nn.Linear(64, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, 10))


@torch.no_grad()
def accuracy(model, device) -> float:
    images, digits = (part.to(device) for part in VALIDATION)
    return (model(images).argmax(1) == digits).double().mean().item()


def objective(trial: Trial) -> Result:
    """Train with `trial.params`; the score is the last epoch's validation accuracy."""
    torch.set_num_threads(1)  # the slots of a machine are its parallelism
    torch.manual_seed(trial.seed)
    model = network(trial.params["width"]).to(trial.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=trial.params["lr"], momentum=0.9)
    if trial.checkpoint:
        saved = torch.load(trial.checkpoint, map_location=trial.device)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
    loader = DataLoader(DATA, batch_size=trial.params["batch"], shuffle=True)
    training = trial.distributed(model, optimizer, loader, per_device_max=FITS)

    def save(path):
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)

    for epoch in range(trial.start, EPOCHS):
        for images, digits in training:
            images, digits = images.to(trial.device), digits.to(trial.device)
            training.backward(nn.functional.cross_entropy(training.model(images), digits))
            training.step()
        # On several devices all processes report; rank 0's counts, and all of them stop where it does.
        trial.report(accuracy(model, trial.device), step=epoch, metrics={"loss": training.loss}, checkpoint=save)
    return Result(accuracy(model, trial.device))


if __name__ == "__main__":
    if torch.distributed.is_torchelastic_launched():
        torch.distributed.init_process_group("gloo")
    print(objective(Trial.offline({"lr": 0.1, "width": 64, "batch": 256})))
