"""Deleting files of this host that no row names any more: of trials that went on elsewhere, and of pruned studies.

`celeriac prune` runs on one host, and a trial's end deletes its checkpoints on the host where it ends. Without a shared
directory the files of all other hosts would stay. Rules: rows say what may go; of a study that the store does not know
nothing is touched; no path leaves the root.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from celeriac.runtime.artefacts import ArtefactsUnavailable
from celeriac.runtime.settings import Settings
from celeriac.store import Store
from worker.attempt import checkpoints
from worker.attempt.context import storage_of
from worker.attempt.janitor import Janitor

log = logging.getLogger(__name__)

_EVERY_S = 3600.0
#: So long after a trial's end whoever ran it has put its files in order.
OLDER_THAN_S = 3600.0
_PAGE = 500
_LOG = re.compile(r"(\d+)-\d+\.log")


class Sweeper:
    """Sweeps now and then, in a thread of its own: a directory that does not answer must not hold up the node."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._janitor, self._next_at = Janitor("sweep"), 0.0

    def look(self, now: float) -> None:
        """Begin if it is time; `now` is the monotonic clock. Never waits."""
        if now >= self._next_at:
            self._next_at = now + _EVERY_S
            self._janitor.put("sweeping old files", lambda: sweep(self._store, self._settings))

    def close(self) -> None:
        """Begin no more."""
        self._janitor.close(0.0)


def sweep(store: Store, settings: Settings, *, older_than_s: float = OLDER_THAN_S) -> None:
    """Delete them. Raises TryAgain; then the rest waits for the next time."""
    held, logged, storage = settings.checkpoint_root, settings.log_root, storage_of(settings)
    kept = _kept(storage)
    for study_id in sorted({*_numbered(held), *_numbered(logged), *kept}):
        logs = _logs(logged / str(study_id))
        trials = sorted({*_numbered(held / str(study_id)), *kept.get(study_id, ()), *logs})
        swept = [0, 0]
        for start in range(0, len(trials), _PAGE):
            for gone in store.let_go(study_id, trials[start : start + _PAGE], older_than_s):
                here = (held / checkpoints.directory(study_id, gone.number)).is_dir()
                there = gone.number in kept.get(study_id, ())
                if gone.checkpoints and (here or there):
                    checkpoints.remove(held, study_id, gone.number, storage if there else None)
                    swept[0] += 1
                for path in logs.get(gone.number, ()) if gone.logs else ():
                    with suppress(OSError):
                        path.unlink()
                        swept[1] += 1
        if any(swept):
            log.info(
                "study %d: deleted what was left of the checkpoints of %d trials, and %d log files", study_id, *swept
            )
        with suppress(OSError):
            (logged / str(study_id)).rmdir()


def _kept(storage: checkpoints.Storage) -> dict[int, set[int]]:
    """The trials of each study of which the storage has any file; nothing when it does not answer."""
    found: dict[int, set[int]] = {}
    try:
        keys = storage().keys("") if storage is not None else ()
    except ArtefactsUnavailable as error:
        log.warning("what is left of checkpoints waits for the next time: %s", error)
        keys = ()
    for key in keys:
        study_id, number = ([*key.split("/"), "", ""])[:2]
        if study_id.isdecimal() and number.isdecimal():
            found.setdefault(int(study_id), set()).add(int(number))
    return found


def _logs(directory: Path) -> dict[int, list[Path]]:
    """A study's log files on this host, by trial."""
    found: dict[int, list[Path]] = {}
    for path in directory.iterdir() if directory.is_dir() and not directory.is_symlink() else ():
        if named := _LOG.fullmatch(path.name):
            found.setdefault(int(named[1]), []).append(path)
    return found


def _numbered(directory: Path) -> Iterator[int]:
    """The directories there whose names are numbers, as studies' and trials' are; never what a link points to."""
    for path in directory.iterdir() if directory.is_dir() and not directory.is_symlink() else ():
        if path.name.isdecimal() and path.is_dir() and not path.is_symlink():
            yield int(path.name)
