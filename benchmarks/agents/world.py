"""What the tasks are about: training scripts and study files in a directory, and what is wrong with some of them."""

from pathlib import Path

TRAIN = """\
import math
import time
from random import Random

from celeriac import Result


def loss(lr):
    return (math.log10(lr) + 2.5) ** 2 / 4


def objective(trial):
    print("lr", trial.params["lr"], flush=True)
    time.sleep(trial.context.get("sleep", 0.0))
    return 1.0 - loss(trial.params["lr"])


def night(trial):
    luck = Random(trial.seed)
    value = 1.0 - loss(trial.params["lr"])
    return Result(value, holdout=[value + luck.gauss(0, 0.001) for _ in range(24)])
"""
BROKEN = """\
def objective(trial):
    print("reading data", flush=True)
    return trial.params["lr"] + data["missing"]
"""
MENDED = """\
def objective(trial):
    return trial.params["lr"]
"""
DRY = """\
from pathlib import Path


def objective(trial):
    return trial.params["lr"] if Path(__file__).with_name("data.ready").exists() else float("nan")
"""
_SPACE = "space: {lr: {float: [1e-5, 1e-1], log: true}}\ndefault: {lr: 1e-5}\n"
_METRIC = "metric: {name: accuracy, goal: maximize}\n"


def study(name: str, objective: str, trials: int, more: str = "") -> str:
    """A study file."""
    return f"study: {name}\nobjective: {objective}\n{_METRIC}{_SPACE}budget: {{trials: {trials}}}\n{more}"


def write(code: Path, prefix: str) -> None:
    """All files of one door, whose studies begin with `prefix`."""
    (code / "train.py").write_text(TRAIN)
    (code / f"{prefix}broken.py").write_text(BROKEN)
    (code / f"{prefix}dry.py").write_text(DRY)
    slow, slower = "context: {sleep: 0.5}\n", "context: {sleep: 600}\n"
    for name, objective, trials, more in (
        ("digits", "train:objective", 12, ""),
        ("long", "train:objective", 400, slower),
        ("mine", "train:objective", 400, slow),
        ("broken", f"{prefix}broken:objective", 30, ""),
        ("dry", f"{prefix}dry:objective", 4, "sampler: random\n"),
    ):
        (code / f"{prefix}{name}.yaml").write_text(study(f"{prefix}{name}", objective, trials, more))
    plan = (
        f"schedule: {{name: {prefix}nightly, cron: '0 2 * * *', slices: {{region: [eu]}},"
        " gate: {require_approval: true, pairs: 6}}\n"
    )
    (code / f"{prefix}nightly.yaml").write_text(study(f"{prefix}nightly", "train:night", 8, plan))
