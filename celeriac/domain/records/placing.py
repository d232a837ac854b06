"""Where a trial was placed, and what holds the fleet's devices now."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Placed:
    """The devices that a trial was placed on, the first of them first, and what it holds of each: a share of it (0: a
    CPU's slot), and bytes of its memory (0: nothing is counted).
    """

    devices: tuple[str, ...]
    share: float
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Holding:
    """A placed trial that is QUEUED or RUNNING."""

    study_id: int
    number: int
    attempts: int
    is_running: bool
    queued_s: float
    placed: Placed


@dataclass(frozen=True, slots=True)
class Holdings:
    """All placed trials, and how many open attempts each device has, placed or not."""

    placed: tuple[Holding, ...] = ()
    open_attempts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ShareFigures:
    """What scored trials of a study took at one share of a GPU: how many they were, how long they ran on average, in
    seconds, and the largest peak of its memory.
    """

    share: float
    trials: int
    mean_s: float
    peak_bytes: int

    @property
    def at_once(self) -> int:
        """How many of them run on one GPU, where it has workers and memory for so many."""
        return max(int(1 / self.share + 1e-6), 1)
