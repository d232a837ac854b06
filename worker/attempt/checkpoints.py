"""Checkpoint files: which to resume from, which to delete. Deciding is apart from deleting; no path leaves the root.

Below the checkpoint root, which every host may see: `<study id>/<number>/attempt<a>-step<s>.ckpt`. Rows name files
relative to the root, and a file is only trusted when its hash is that of its row. Where the root is this host's own, a
`storage` that all hosts see has the same files under the same names; what is here need not be fetched from there.
"""

import hashlib
import math
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from celeriac.domain.errors import CallerError
from celeriac.domain.records import Artefact, Checkpoint, Lease, Report
from celeriac.domain.stop_rules import Pbt, StopRule
from celeriac.runtime.artefacts import ArtefactDamaged, Artefacts
from celeriac.runtime.artefacts.api import fetch
from celeriac.store import Store
from worker.attempt.janitor import Janitor

_KEPT_LAST = 2

#: What opens the storage; None where the root itself is what all hosts see.
Storage = Callable[[], Artefacts] | None


def directory(study_id: int, number: int) -> str:
    """Where a trial's checkpoints lie, relative to the root."""
    return f"{study_id}/{number}"


def resolved(root: Path, path: str) -> Path:
    """The file that a row names. Raises CallerError for one that would lie outside the root."""
    full = (root / path).resolve()
    if not full.is_relative_to(root.resolve()) or full == root.resolve():
        raise CallerError(f"checkpoint {path!r} lies outside the checkpoint root {root}: not touched")
    return full


def newest_sound(
    checkpoints: Sequence[Checkpoint], root: Path, storage: Storage = None
) -> tuple[Checkpoint | None, list[str]]:
    """The checkpoint of the highest step whose file is there and whole, and a line for each newer one that is not.

    One that is not here is fetched from the storage. Raises ArtefactsUnavailable when that does not answer.
    """
    refused: list[str] = []
    for checkpoint in sorted(checkpoints, key=lambda each: each.step, reverse=True):
        reason = why_unsound(checkpoint, root)
        if reason and storage is not None:
            reason = why_not_fetched(checkpoint, root, storage())
        if not reason:
            return checkpoint, refused
        refused.append(f"checkpoint of step {checkpoint.step} refused: {reason}")
    return None, refused


def why_unsound(checkpoint: Checkpoint, root: Path) -> str:
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


def why_not_fetched(checkpoint: Checkpoint, root: Path, storage: Artefacts) -> str:
    """Why this checkpoint cannot be fetched whole; empty when it is here now. Raises ArtefactsUnavailable."""
    try:
        local = resolved(root, checkpoint.path)
        local.parent.mkdir(parents=True, exist_ok=True)
        fetch(storage, Artefact(checkpoint.path, checkpoint.sha256, checkpoint.size_bytes), local)
    except (OSError, ArtefactDamaged, CallerError) as error:
        return str(error)
    return ""


def doomed(checkpoints: Sequence[Checkpoint], best_step: int | None) -> tuple[Checkpoint, ...]:
    """Which to delete while the trial lives: all but the last two steps' and the best step's."""
    last = sorted({each.step for each in checkpoints}, reverse=True)[:_KEPT_LAST]
    return tuple(each for each in checkpoints if each.step not in last and each.step != best_step)


def inheritance(checkpoints: Sequence[Checkpoint], rule: StopRule | None) -> tuple[Checkpoint, ...]:
    """Which stay until the study is closed, since heirs may go on from them: of a population's trial, the newest at or
    before each rung.
    """
    if not isinstance(rule, Pbt):
        return ()
    rungs = range(rule.every, rule.max, rule.every)
    newest = {max((each.step for each in checkpoints if each.step <= rung), default=None) for rung in rungs}
    return tuple(each for each in checkpoints if each.step in newest)


def delete(checkpoints: Iterable[Checkpoint], root: Path, storage: Storage = None) -> None:
    """Delete the files of these rows; one that is gone already, or cannot be deleted now, costs only its space. Raises
    ArtefactsUnavailable.
    """
    gone = list(checkpoints)
    for checkpoint in gone:
        with suppress(OSError):
            resolved(root, checkpoint.path).unlink()
    if storage is not None:
        storage().delete(each.path for each in gone)


def remove(root: Path, study_id: int, number: int, storage: Storage = None) -> None:
    """Delete all checkpoints of a trial that has ended, and the study's directory with its last one. Raises
    ArtefactsUnavailable.
    """
    place = resolved(root, directory(study_id, number))
    shutil.rmtree(place, ignore_errors=True)
    with suppress(OSError):
        place.parent.rmdir()
    if storage is not None:
        opened = storage()
        opened.delete(opened.keys(directory(study_id, number)))


class Retention:
    """Which checkpoints of a trial stay: the best and the last two while it lives, none once it has ended, and in both
    cases its `inheritance`.

    For one thread at a time: the result writer's while the trial runs, then the runner's. Rows go first, then files,
    by the janitor: a directory that does not answer holds up nobody.
    """

    def __init__(self, lease: Lease, store: Store, janitor: Janitor, root: Path, storage: Storage = None) -> None:
        self._lease, self._store, self._janitor, self._root = lease, store, janitor, root
        self._storage = storage
        self._values: dict[int, float] = {}
        self._rows: Sequence[Checkpoint] = [each for each in lease.checkpoints if each.trial == lease.number]

    def saved(self, reports: Sequence[Report], rows: Sequence[Checkpoint]) -> None:
        """Reports with checkpoints landed, and these are the trial's checkpoints now: keep few. Raises TryAgain."""
        self._values.update({each.step: each.value for each in reports if each.checkpoint is not None})
        self._rows, kept = rows, inheritance(rows, self._lease.plan.stop_rule)
        gone = [each for each in doomed(rows, self._best_step(rows)) if each not in kept]
        if gone:
            lease, root, storage = self._lease, self._root, self._storage
            self._store.forget_checkpoints(lease.token, [each.path for each in gone])
            self._janitor.put(
                f"deleting {len(gone)} checkpoints of {lease.study} trial {lease.number} in {root}",
                lambda: delete(gone, root, storage),
            )

    def forget_all(self) -> None:
        """All, if the trial has ended. Raises TryAgain; then rows and files stay until the study is pruned."""
        lease, root, storage = self._lease, self._root, self._storage
        kept = inheritance(self._rows, lease.plan.stop_rule)
        if not self._store.drop_checkpoints(lease.token, [each.path for each in kept]):
            return
        if kept:
            gone = [each for each in self._rows if each not in kept]
            self._janitor.put(
                f"deleting {len(gone)} checkpoints of {lease.study} trial {lease.number} in {root}",
                lambda: delete(gone, root, storage),
            )
            return
        self._janitor.put(
            f"deleting the checkpoints of {lease.study} trial {lease.number} in {root}",
            lambda: remove(root, lease.study_id, lease.number, storage),
        )

    def _best_step(self, rows: Sequence[Checkpoint]) -> int | None:
        """The step of the best value among checkpoints; what earlier attempts reported is read once, when it is
        needed.
        """
        lease, values = self._lease, self._values
        if any(row.step not in values for row in rows):
            before = self._store.own_reports(lease.token)
            values.update({each.step: each.value for each in before if each.step not in values})
        sign = 1.0 if lease.plan.goal == "maximize" else -1.0
        scored = [(sign * values[row.step], row.step) for row in rows if math.isfinite(values.get(row.step, math.nan))]
        return max(scored)[1] if scored else None
