"""Deleting files that the store has let go. Rule: nothing outside the checkpoint and log roots, and nothing of a champion's."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from celeriac.records import CLOSED, Checkpoint, StudyRecord
from celeriac.settings import Settings
from celeriac.store import Store

_PAGE = 200


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was deleted on this host; `refused` says for each file that could not be, why."""

    count: int
    size_bytes: int
    refused: tuple[str, ...]


def old_studies(store: Store, before: datetime) -> Iterator[StudyRecord]:
    """The closed studies that ended before then, newest first, read page by page."""
    last: int | None = None
    while page := store.studies(states=sorted(CLOSED), before_id=last, limit=_PAGE):
        yield from (study for study in page if study.ended_at is not None and study.ended_at < before)
        last = page[-1].id


def prune_files(
    store: Store, settings: Settings, checkpoints: Sequence[Checkpoint], before: datetime, *, logs: bool
) -> Deleted:
    """Delete these checkpoints' files and, if `logs`, this host's log files of the studies that ended before then.

    A file that is gone already is no error: another host, or an earlier call, deleted it.
    """
    doomed = [(settings.checkpoint_root, settings.checkpoint_root / each.path) for each in checkpoints]
    if logs:
        doomed += [(settings.log_root, path) for path in _old_logs(store, settings.log_root, before)]
    return _delete(doomed)


def study_files(settings: Settings, study_id: int) -> list[tuple[Path, Path]]:
    """What lies on this host of one study: each of its checkpoints' and logs' files, with the root that it must be below."""
    roots = (settings.checkpoint_root, settings.log_root)
    found = ((root, path) for root in roots for path in sorted((root / str(study_id)).rglob("*")))
    return [(root, path) for root, path in found if path.is_symlink() or not path.is_dir()]


def delete_files(settings: Settings, study_id: int) -> Deleted:
    """Delete them."""
    return _delete(study_files(settings, study_id))


def _old_logs(store: Store, root: Path, before: datetime) -> Iterator[Path]:
    """Log files `<study id>/<number>-<attempt>.log` of old studies, champions' left out."""
    kept = _champions(store)
    for study in old_studies(store, before):
        for path in (root / str(study.id)).glob("*-*.log"):
            number = path.stem.partition("-")[0]
            if number.isdigit() and (study.id, int(number)) not in kept:
                yield path


def _champions(store: Store) -> set[tuple[int, int]]:
    """(study id, trial) of every trial that is or was a champion."""
    names = {each.schedule for each in store.champions()} | {each.name for each in store.schedules()}
    verdicts = [verdict for name in names for verdict in store.verdicts(name, limit=1_000_000)]
    return {(each.study_id, each.trial) for each in verdicts if each.promoted and each.trial is not None}


def _delete(doomed: Iterable[tuple[Path, Path]]) -> Deleted:
    count = size_bytes = 0
    refused = []
    for root, path in doomed:
        real = path.resolve()
        if not real.is_relative_to(root.resolve()):
            refused.append(f"{path} is not below {root}: left alone")
            continue
        try:
            size = real.stat().st_size
            real.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            refused.append(f"{path} cannot be deleted: {error.strerror}")
            continue
        count, size_bytes = count + 1, size_bytes + size
        _drop_empty(real.parent, root.resolve())
    return Deleted(count, size_bytes, tuple(refused))


def _drop_empty(directory: Path, root: Path) -> None:
    """Remove directories that became empty, up to the root."""
    while directory != root:
        try:
            directory.rmdir()
        except OSError:  # not empty
            return
        directory = directory.parent
