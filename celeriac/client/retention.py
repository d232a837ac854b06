"""Deleting files that the store has let go: only below our own roots, and nothing of a champion's."""

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from celeriac.client.dropped import Dropped as Dropped
from celeriac.client.old_models import champions_by_slice, models_to_keep, prune_models, prune_versions
from celeriac.domain.records import CLOSED, StudyRecord
from celeriac.runtime.artefacts import CHECKPOINTS, open_artefacts
from celeriac.runtime.settings import Settings
from celeriac.store import Store

_PAGE = 200


def old_studies(store: Store, before: datetime) -> Iterator[StudyRecord]:
    """The closed studies that ended before then, newest first, read page by page."""
    last: int | None = None
    while page := store.studies(states=sorted(CLOSED), before_id=last, limit=_PAGE):
        yield from (study for study in page if study.ended_at is not None and study.ended_at < before)
        last = page[-1].id


@dataclass(frozen=True, slots=True)
class Kinds:
    """Which leftovers are dropped. `models`: those that plain studies keep; what nights leave of models, and published
    versions, goes with the checkpoints.
    """

    reports: bool = True
    logs: bool = True
    checkpoints: bool = True
    models: bool = False


def prune(
    store: Store, settings: Settings, before: datetime, kinds: Kinds, tell: Callable[[StudyRecord, Dropped], None]
) -> Dropped:
    """Drop what the studies that ended before then left behind, one after the other; `tell` is told of each that had
    something.

    Interrupted at any moment, it goes on where it was when it is called again: a file goes before its row, so none is
    forgotten, and rows go in batches that take no longer than other statements do.
    """
    lines, artefacts = champions_by_slice(store), open_artefacts(settings.artefact_root)
    kept, total = {(each.study_id, each.trial) for line in lines for each in line}, Dropped()
    models = models_to_keep(store, lines)
    if kinds.checkpoints:
        total += prune_versions(artefacts, lines, before)
    for study in old_studies(store, before):
        dropped = Dropped()
        if kinds.checkpoints:
            dropped += _prune_checkpoints(store, settings, study.id, before)
        if kinds.models or (kinds.checkpoints and study.firing_id is not None):
            dropped += prune_models(store, artefacts, study.id, models)
        while batch := _prune_rows(store, study.id, before, kinds):
            dropped += batch
        if kinds.logs:
            dropped += _delete(_old_logs(settings.log_root, study.id, kept))
        if dropped != Dropped():
            tell(study, dropped)
            total += dropped
    return total


def _prune_rows(store: Store, study_id: int, before: datetime, kinds: Kinds) -> Dropped | None:
    gone = store.prune(study_id, before, reports=kinds.reports, logs=kinds.logs)
    return Dropped(reports=gone.reports, logs=gone.logs) if gone.reports or gone.logs else None


def _prune_checkpoints(store: Store, settings: Settings, study_id: int, before: datetime) -> Dropped:
    """Files, then rows, page by page; the row of a file that cannot be deleted stays. Raises ArtefactsUnavailable."""
    root, dropped, after = settings.checkpoint_root, Dropped(), (-1, -1, -1)
    storage = open_artefacts(settings.checkpoints, CHECKPOINTS) if settings.checkpoints else None
    while page := store.old_checkpoints(study_id, before, after=after):
        after = (page[-1].trial, page[-1].step, page[-1].attempt)
        if storage is not None:  # what hosts have beside it, their nodes delete
            storage.delete(each.path for each in page)
            dropped += Dropped(checkpoints=store.prune_checkpoints(study_id, before, page))
            continue
        if not root.is_dir():
            told = (
                f"{root} is not on this host, so the checkpoints of study {study_id} are kept: see"
                " CELERIAC_CHECKPOINT_ROOT"
            )
            return Dropped(refused=(told,))
        deleted = _delete((root, root / each.path) for each in page)
        gone = [each for each in page if not (root / each.path).exists()]
        count = store.prune_checkpoints(study_id, before, gone)
        dropped += deleted + Dropped(checkpoints=count, missing=len(gone) - deleted.files)
    return dropped


def study_files(settings: Settings, study_id: int) -> list[tuple[Path, Path]]:
    """A study's checkpoint and log files on this host, each with the root that it must be below."""
    roots = (settings.checkpoint_root, settings.log_root)
    found = ((root, path) for root in roots for path in sorted((root / str(study_id)).rglob("*")))
    return [(root, path) for root, path in found if path.is_symlink() or not path.is_dir()]


def delete_files(settings: Settings, study_id: int) -> Dropped:
    """Delete them, and its models. Raises ArtefactsUnavailable."""
    artefacts = open_artefacts(settings.artefact_root)
    models = artefacts.keys(f"models/{study_id}")
    artefacts.delete(models)
    deleted = _delete(study_files(settings, study_id)) + Dropped(files=len(models))
    if not settings.checkpoints:
        return deleted
    storage = open_artefacts(settings.checkpoints, CHECKPOINTS)
    checkpoints = storage.keys(str(study_id))
    storage.delete(checkpoints)
    return deleted + Dropped(files=len(checkpoints))


def _old_logs(root: Path, study_id: int, kept: Set[tuple[int, int | None]]) -> Iterator[tuple[Path, Path]]:
    """Log files `<study id>/<number>-<attempt>.log` of a study on this host, champions' left out."""
    for path in (root / str(study_id)).glob("*-*.log"):
        number = path.stem.partition("-")[0]
        if number.isdigit() and (study_id, int(number)) not in kept:
            yield root, path


def _delete(doomed: Iterable[tuple[Path, Path]]) -> Dropped:
    files = size_bytes = 0
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
        files, size_bytes = files + 1, size_bytes + size
        _drop_empty(real.parent, root.resolve())
    return Dropped(files=files, size_bytes=size_bytes, refused=tuple(refused))


def _drop_empty(directory: Path, root: Path) -> None:
    """Remove directories that became empty, up to the root."""
    while directory != root:
        try:
            directory.rmdir()
        except OSError:  # not empty
            return
        directory = directory.parent
