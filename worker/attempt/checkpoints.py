"""Checkpoint files: which to resume from, which to delete. Deciding is apart from deleting; no path leaves the root.

Below the checkpoint root, which every host may see: `<study id>/<number>/attempt<a>-step<s>.ckpt`. Rows name files
relative to the root, and a file is only trusted when its hash is that of its row.
"""

import hashlib
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar

from celeriac.domain.errors import CallerError

_KEPT_LAST = 2


class CheckpointLike(Protocol):
    """What of `celeriac.domain.records.Checkpoint` is looked at here."""

    @property
    def step(self) -> int:
        """The step that it was written at."""

    @property
    def path(self) -> str:
        """Relative to the checkpoint root."""

    @property
    def sha256(self) -> str:
        """Hash of the whole file, in hex."""

    @property
    def size_bytes(self) -> int:
        """Its length."""


C = TypeVar("C", bound=CheckpointLike)


def directory(study_id: int, number: int) -> str:
    """Where a trial's checkpoints lie, relative to the root."""
    return f"{study_id}/{number}"


def resolved(root: Path, path: str) -> Path:
    """The file that a row names. Raises CallerError for one that would lie outside the root."""
    full = (root / path).resolve()
    if not full.is_relative_to(root.resolve()) or full == root.resolve():
        raise CallerError(f"checkpoint {path!r} lies outside the checkpoint root {root}: not touched")
    return full


def newest_sound(checkpoints: Sequence[C], root: Path) -> tuple[C | None, list[str]]:
    """The checkpoint of the highest step whose file is there and whole, and a line for each newer one that is not."""
    refused: list[str] = []
    for checkpoint in sorted(checkpoints, key=lambda each: each.step, reverse=True):
        reason = why_unsound(checkpoint, root)
        if not reason:
            return checkpoint, refused
        refused.append(f"checkpoint of step {checkpoint.step} refused: {reason}")
    return None, refused


def why_unsound(checkpoint: CheckpointLike, root: Path) -> str:
    """Why this checkpoint cannot be resumed from; empty when it can."""
    try:
        path = resolved(root, checkpoint.path)
        size_bytes = path.stat().st_size
        if size_bytes != checkpoint.size_bytes:
            return f"{checkpoint.path} has {size_bytes:,} bytes, its row says {checkpoint.size_bytes:,}"
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return (
            f"{checkpoint.path} is not below {root} (is the checkpoint directory shared with the host that wrote it?)"
        )
    except (OSError, CallerError) as error:
        return str(error)
    return "" if sha256 == checkpoint.sha256 else f"{checkpoint.path} is damaged: its hash is not its row's"


def doomed(checkpoints: Sequence[C], best_step: int | None) -> tuple[C, ...]:
    """Which to delete while the trial lives: all but the last two steps' and the best step's."""
    last = sorted({each.step for each in checkpoints}, reverse=True)[:_KEPT_LAST]
    return tuple(each for each in checkpoints if each.step not in last and each.step != best_step)


def delete(checkpoints: Iterable[CheckpointLike], root: Path) -> None:
    """Delete the files of these rows; one that is gone already, or cannot be deleted now, costs only its space."""
    for checkpoint in checkpoints:
        with suppress(OSError):
            resolved(root, checkpoint.path).unlink()


def remove(root: Path, study_id: int, number: int) -> None:
    """Delete all checkpoints of a trial that has ended, and the study's directory with its last one."""
    place = resolved(root, directory(study_id, number))
    shutil.rmtree(place, ignore_errors=True)
    with suppress(OSError):
        place.parent.rmdir()
