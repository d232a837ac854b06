"""Study files to begin with, and how a wrong one is told."""

from pathlib import Path
from typing import Any

import pytest

from celeriac.domain.errors import SpecInvalid
from celeriac.domain.study_file import load, parse

STUDY = """\
study: digits
objective: train:objective
code: .
metric: {name: accuracy, goal: maximize}
space:
  lr:        {float: [1e-4, 1e-1], log: true}
  width:     {int: [16, 256], log: true}
  optimizer: {choice: [sgd, adam]}
  momentum:  {float: [0.5, 0.99], when: {optimizer: sgd}}
default: {lr: 0.01, width: 64, optimizer: adam}
sampler: random
seed: 7
budget: {trials: 60, wall: 30m}
parallel: 4
resources: {gpus: 1}
timeout: 10m
retry: {attempts: 2}
labels: {team: vision, year: 2026}
"""

SCHEDULE = """\
objective: train:objective
metric: {name: loss, goal: minimize}
space: {lr: {float: [1e-4, 1e-1]}}
budget: {trials: 12}
schedule:
  name: flights
  cron: "0  2 * * *"
  timezone: America/New_York
  slices: {region: [eu, us], day: [1, 2, 3]}
"""

SMALL: dict[str, Any] = {
    "study": "s",
    "objective": "train:objective",
    "metric": {"name": "accuracy", "goal": "maximize"},
    "space": {"lr": {"float": [0.0, 1.0]}},
    "budget": {"trials": 5},
}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def told(tmp_path: Path, text: str) -> list[str]:
    """The problems of a file, without the directory in front."""
    with pytest.raises(SpecInvalid) as caught:
        load(write(tmp_path, text))
    return [problem.removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def refused(changes: dict[Any, Any]) -> list[str]:
    """The problems of the small study with some keys changed; None takes a key away."""
    with pytest.raises(SpecInvalid) as caught:
        parse(SMALL | changes, "file.yaml")
    return caught.value.problems
