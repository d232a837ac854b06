"""Every example of docs/how-to/come-from.md, run as it stands there against the real library on a real stack: on the
service's own machine, and on a laptop over the API.
"""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.doors.conftest import Laptop
from benchmarks.embedded import Embedded
from celeriac.domain.records import StudyState

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "come-from.md"
MOST_LINES = 10
STUDY = """study: of-a-part
objective: train:objective
metric: {name: loss, goal: minimize}
space: {lr: {float: [1e-3, 1e-1], log: true}}
budget: {trials: 2}
"""
LIGHTNING = """import torch
from lightning.pytorch import LightningModule, Trainer

x = torch.arange(4.0)[:, None]
data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, 2 * x), batch_size=2)


class Model(LightningModule):
    def __init__(self, lr):
        super().__init__()
        self.lr, self.layer = lr, torch.nn.Linear(1, 1)

    def training_step(self, batch, index):
        return ((self.layer(batch[0]) - batch[1]) ** 2).mean()

    def validation_step(self, batch, index):
        self.log("val_loss", self.training_step(batch, index))

    def val_dataloader(self):
        return data

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr / 10)


"""
TRAINER = """import tempfile
import torch
from transformers import Trainer, TrainingArguments


class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x=None, labels=None):
        out = self.layer(x)
        return {"loss": ((out - labels) ** 2).mean(), "logits": out}


model = Line()
train = held_out = [{"x": torch.tensor([float(k)]), "labels": torch.tensor([2.0 * k])} for k in range(8)]


def arguments(lr):
    return TrainingArguments(
        output_dir=tempfile.mkdtemp(), num_train_epochs=3, per_device_train_batch_size=4, eval_strategy="epoch",
        save_strategy="epoch", learning_rate=lr, report_to=[], use_cpu=True, disable_tqdm=True,
    )


"""
#: What stands around the page's part of an objective.
AROUND = {"Lightning": LIGHTNING, "Hugging Face": TRAINER}


@dataclass(frozen=True)
class Example:
    """A section's files as the page has them, and what is run."""

    name: str
    files: dict[str, str]
    command: list[str]

    def written(self, place: Path) -> None:
        """Put its files there, a part of an objective in its place."""
        around = AROUND.get(self.name)
        for name, text in self.files.items():
            (place / name).write_text((around or "") + text)
        if around is not None:
            (place / "study.yaml").write_text(STUDY)


def examples() -> list[Example]:
    """The sections of the page that have a command, or a part of an objective."""
    found = []
    for section in PAGE.read_text().split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        files: dict[str, str] = {}
        command: list[str] = []
        for block in re.findall(r"[^\n]*:\n\n(?: {4}[^\n]*\n|\n(?= {4}))+", body):
            head, _, code = block.partition("\n\n")
            text = re.sub(r"^ {4}", "", code, flags=re.MULTILINE)
            name = re.search(r"`(\w+\.(?:py|yaml|sh))`[^:]*:$", head)
            if name is not None:
                files[name[1]] = text
            elif head.endswith("in the objective:"):
                files["train.py"], command = text, ["celeriac", "run", "study.yaml"]
            elif text.startswith("$ "):
                command = shlex.split(text[2:])
        if command:
            found.append(Example(title, files, command))
    return found


EXAMPLES = examples()
NAMES = [each.name for each in EXAMPLES]


def test_the_page_has_all_the_ways_in() -> None:
    named = ["Optuna", "A plain command", "A notebook", "Hydra", "Lightning", "Hugging Face", "scikit-learn"]
    assert named == NAMES


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_an_example_has_ten_lines_at_most(example: Example) -> None:
    for name, text in example.files.items():
        assert len([line for line in text.splitlines() if line.strip()]) <= MOST_LINES, name


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_an_example_runs_as_it_stands(example: Example, stack: Embedded, tmp_path: Path) -> None:
    _runs(example, stack, tmp_path, {**os.environ, "CELERIAC_HOME": str(stack.home), "OMP_NUM_THREADS": "1"})


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_an_example_runs_on_a_laptop_over_the_api(example: Example, stack: Embedded, laptop: Laptop) -> None:
    place = laptop.share / example.name.replace(" ", "-")
    place.mkdir()
    _runs(example, stack, place, dict(laptop.environment))
    assert not (laptop.home / ".celeriac").exists(), "no stack is started there, and nothing is kept"


def _runs(example: Example, stack: Embedded, place: Path, environment: dict[str, str]) -> None:
    """Run it to its end; its study is looked at, and deleted, so that the same can be asked for from elsewhere."""
    example.written(place)
    program, *words = example.command
    start = [sys.executable, "-m", "celeriac.cli"] if program == "celeriac" else [sys.executable]
    done = subprocess.run([*start, *words], cwd=place, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    with stack.client() as client:
        newest = client.studies(1)[0]
        record = newest.record
        assert record.state is StudyState.DONE, record.reason
        assert record.counts.failed == 0
        assert newest.best is not None
        if example.name in AROUND:
            assert {each["trial"] for each in newest.each_report()} == {0, 1}
        newest.delete()
