"""The published sequences of re-tunings: what a night's trial scores, looked up at the nearest configuration.

Data, licence and form: `benchmarks/data/nights/README.md`.
"""

import gzip
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celeriac.domain.space import Choice, Float, Int, Parameter, Space
from coordinator.samplers.encoding import Box

Array = NDArray[np.float64]

DATA = Path(__file__).parent.parent / "data" / "nights"
NAMES = tuple(sorted(path.name.removesuffix(".json.gz") for path in DATA.glob("*.json.gz")))
NIGHTS = 6
#: From so many times the lowest value on, a range is searched by its logarithm.
_LOG_FROM = 100.0
_WHEN: dict[str, dict[str, Any]] = {"gamma": {"kernel": "radial"}, "degree": {"kernel": "polynomial"}}


@dataclass(frozen=True, slots=True)
class Sequence:
    """One sequence: its space, its configurations as a model sees them, and their losses: (nights, configurations)."""

    name: str
    space: Space
    box: Box
    places: Array
    losses: Array

    @property
    def nights(self) -> int:
        """How many there are: NIGHTS, or the published tasks where they are fewer."""
        return len(self.losses)

    def loss(self, night: int, params: dict[str, Any]) -> float:
        """What these parameters score on a night: the nearest configuration's."""
        own = self.box.encoded(self.box.units([tuple(self.space.to_unit(params))]))
        nearest = int(np.argmin(((self.places - own) ** 2).sum(axis=1)))
        return float(self.losses[night, nearest])

    def regret(self, night: int, loss: float) -> float:
        """1: as good as the night's median configuration; 0: as its best."""
        best, middle = float(self.losses[night].min()), float(np.median(self.losses[night]))
        return (loss - best) / (middle - best)


@cache
def sequence(name: str) -> Sequence:
    """The sequence of that name, NIGHTS of its tasks evenly spread, first and last among them."""
    with gzip.open(DATA / f"{name}.json.gz", "rt") as file:
        raw = json.load(file)
    columns = {name: [_plain(value) for value in values] for name, values in raw["params"].items()}
    space = Space({name: _parameter(name, values) for name, values in columns.items()})
    rows = [
        space.validate({name: values[row] for name, values in columns.items() if values[row] is not None})
        for row in range(len(raw["loss"][0]))
    ]
    box = Box(space)
    places = box.encoded(box.units([tuple(space.to_unit(row)) for row in rows]))
    tasks = np.unique(np.linspace(0, len(raw["tasks"]) - 1, min(NIGHTS, len(raw["tasks"]))).round().astype(int))
    return Sequence(name, space, box, places, np.array(raw["loss"], dtype=np.float64)[tasks])


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _parameter(name: str, values: list[Any]) -> Parameter:
    """The range of the values that occur, as a study file would have it."""
    when = _WHEN.get(name)
    known = [value for value in values if value is not None]
    if isinstance(known[0], str):
        return Choice(tuple(sorted(set(known))), when=when)
    low, high = min(known), max(known)
    if all(isinstance(value, int) for value in known):
        return Int(low, high, log=low > 0 and high / low >= _LOG_FROM, when=when)
    return Float(low, high, log=low > 0 and high / low >= _LOG_FROM, when=when)
