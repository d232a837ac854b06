"""What was deleted: counted, and added up."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was dropped: rows, and files on this host. `missing`: checkpoints whose file was not here; `refused`: why a
    file could not be deleted, for each such.
    """

    reports: int = 0
    logs: int = 0
    checkpoints: int = 0
    missing: int = 0
    files: int = 0
    size_bytes: int = 0
    refused: tuple[str, ...] = ()

    def __add__(self, other: "Dropped") -> "Dropped":
        return Dropped(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Dropped)))


@dataclass(frozen=True, slots=True)
class Doomed:
    """What deleting a study would delete: its `trials` with their reports, and so many `files` on the host that does
    it.
    """

    trials: int
    files: int
    size_bytes: int
