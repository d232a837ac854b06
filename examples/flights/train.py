"""Will a flight arrive more than 15 minutes late? One small network for each airport, trained anew every night.

Plain torch, with three lines of Celeriac in `objective`. The schedule's slice says which airport
(`trial.context["airport"]`), the firing for which night (`trial.context["due_at"]`); `departures.py` says what a
flight's features are and which days a night may use. The score is the best epoch's log loss on the validation days.
That same epoch's log loss on each of the hold-out days goes along for the gate; neither the search nor the choice of
the epoch sees it. `python train.py` runs one trial without any service.
"""

import numpy as np
import torch
from departures import CODES, NUMBERS, auc, departures, night, read
from torch import nn

from celeriac import Result, Trial

EPOCHS = 10

# Read once, when the module is imported: every trial's process is a fork that shares these pages.
TABLE = departures(*read())
SIZES = [int(TABLE[column].max()) + 1 for column in CODES]


class Network(nn.Module):
    """An embedding for each code, beside the numbers, into `depth` hidden layers and one logit."""

    def __init__(self, params) -> None:
        super().__init__()
        width, size = params["width"], params["embedding"]
        self.embeddings = nn.ModuleList(nn.Embedding(n, size, padding_idx=0) for n in SIZES)
        layers, inputs = [], len(NUMBERS) + size * len(SIZES)
        for _ in range(params["depth"]):
            layers += [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(params["dropout"])]
            inputs = width
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, 1))

    def forward(self, numbers, codes):
        embedded = [embed(code) for embed, code in zip(self.embeddings, codes.unbind(1), strict=True)]
        return self.layers(torch.cat([numbers, *embedded], 1)).squeeze(1)


def train_one_epoch(model, optimizer, batch_size, numbers, codes, late) -> None:
    model.train()
    for batch in torch.randperm(len(late), device=late.device).split(batch_size):
        logits = model(numbers[batch], codes[batch])
        loss = nn.functional.binary_cross_entropy_with_logits(logits, late[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def losses(model, numbers, codes, late) -> np.ndarray:
    """The log loss of each flight."""
    model.eval()
    logits = model(numbers, codes).double()
    return nn.functional.binary_cross_entropy_with_logits(logits, late.double(), reduction="none").cpu().numpy()


@torch.no_grad()
def judge(model, numbers, codes, late) -> tuple[float, float]:
    """Log loss and AUC."""
    loss = float(losses(model, numbers, codes, late).mean())
    return loss, auc(late.cpu().numpy(), model(numbers, codes).cpu().numpy())


def objective(trial: Trial) -> Result:
    """Train with `trial.params`; the score is the best epoch's validation log loss, the hold-out one loss a day."""
    torch.set_num_threads(1)  # the slots of a machine are its parallelism
    torch.manual_seed(trial.seed)
    params = trial.params
    parts = night(TABLE, trial.context["airport"], trial.context["due_at"])
    tensors = {
        name: [torch.from_numpy(a).to(trial.device) for a in (part.numbers, part.codes, part.late)]
        for name, part in parts.items()
    }
    age_days = parts["train"].age_days
    recent = torch.from_numpy(np.flatnonzero(age_days < age_days.min() + params["days"])).to(trial.device)
    train = [tensor[recent] for tensor in tensors["train"]]

    model = Network(params).to(trial.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=params["lr"], weight_decay=params["weight_decay"])
    best = {"loss": float("inf"), "epoch": 0, "model": model.state_dict()}
    if trial.checkpoint:
        saved = torch.load(trial.checkpoint, map_location=trial.device)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        best = saved["best"]

    def save(path):
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "best": best}, path)

    for epoch in range(trial.start, EPOCHS):
        torch.manual_seed(trial.seed + epoch)  # a resumed trial goes on exactly as if it had not stopped
        train_one_epoch(model, optimizer, params["batch"], *train)
        loss, _ = judge(model, *tensors["validation"])
        if loss < best["loss"]:
            weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            best = {"loss": loss, "epoch": epoch, "model": weights}
        trial.report(loss, step=epoch, checkpoint=save)

    model.load_state_dict(best["model"])
    holdout, holdout_auc = judge(model, *tensors["holdout"])
    each, age_days = losses(model, *tensors["holdout"]), parts["holdout"].age_days
    return Result(
        best["loss"],
        metrics={"holdout": holdout, "holdout_auc": holdout_auc},
        step=best["epoch"],
        holdout=[each[age_days == age].mean() for age in range(age_days.max(), 0, -1) if (age_days == age).any()],
        model=lambda path: torch.save(best["model"], path),
    )


if __name__ == "__main__":
    default = {
        "lr": 0.001,
        "weight_decay": 0.01,
        "width": 64,
        "depth": 2,
        "dropout": 0.0,
        "embedding": 8,
        "batch": 256,
        "days": 120,
    }
    context = {"airport": "JFK", "due_at": "2013-10-01T06:00:00+00:00"}
    print(objective(Trial.offline(default, context=context)))
