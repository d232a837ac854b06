"""Rungs: how a report crosses one, and how the records there are ranked."""

from dataclasses import dataclass
from datetime import datetime

from celeriac.domain.states import Goal


@dataclass(frozen=True, slots=True)
class Ranking:
    """How the records of a rung are ranked: by the study's goal, within a bracket; of n the best max(1, (n · times +
    spare) // of) are kept, with spare < of and times <= of.
    """

    goal: Goal
    of: int
    spare: int = 0
    bracket: int = 0
    times: int = 1

    def kept(self, count: int) -> int:
        """How many of `count` records are kept."""
        return max(1, (count * self.times + self.spare) // self.of)


@dataclass(frozen=True, slots=True)
class Crossing:
    """A report that is its attempt's first at a rung: `resource` is what the report had used, at least `rung`. `value`
    is finite.
    """

    rung: int
    step: int
    resource: float
    value: float
    ranking: Ranking


@dataclass(frozen=True, slots=True)
class RungRecord:
    """A trial's value at a rung: written once, never changed, whatever later attempts report there.

    `place` is its place in the rung's order of arrival (1, 2, …), gap-free and in commit order: it was ranked among
    exactly the `place` records up to and with its own. `cutoff` is the value of the last of those that are kept then
    (`Ranking`).
    """

    study_id: int
    bracket: int
    rung: int
    place: int
    trial: int
    attempt: int
    step: int
    resource: float
    value: float
    cutoff: float
    at: datetime
