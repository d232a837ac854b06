"""An artefact root that is a directory, which all hosts see.

A file, or a version's directory, is made under a temporary name, synced, and renamed. `current` is a symbolic link that
is replaced by a rename, under a lock on the place: so it goes forward only, whoever publishes, and a reader who follows
it once sees one whole version.
"""

import fcntl
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from celeriac.domain.records import Artefact
from celeriac.runtime.artefacts.api import CURRENT, ArtefactDamaged, ArtefactsUnavailable, fetch, version_key

LOCK_S = 30.0
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}")
_AGAIN_S = 0.05


class Directory:
    """See `Artefacts`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, local: Path, key: str) -> None:
        with self._told(key):
            final = self._path(key)
            final.parent.mkdir(parents=True, exist_ok=True)
            _place(local, final)

    def get(self, key: str, to: Path) -> None:
        source = self._path(key)
        if not source.is_file():
            raise ArtefactDamaged(f"{source} is not there: is the artefact root that of the workers?")
        with self._told(key):
            shutil.copyfile(source, to)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            path = self._path(key)
            with self._told(key):
                path.unlink(missing_ok=True)
            for parent in path.parents:  # up to the first that holds something else
                try:
                    if parent == self._root:
                        break
                    parent.rmdir()
                except OSError:
                    break

    def keys(self, below: str) -> list[str]:
        top = self._path(below)
        found = (Path(where, name) for where, _, names in os.walk(top) for name in names)
        return sorted(
            str(path.relative_to(self._root)) for path in found if path.is_file() and not path.name.startswith(".")
        )

    def pack(self, key: str, texts: Mapping[str, str], copies: Mapping[str, Artefact]) -> None:
        final = self._path(key)
        temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex}")
        with self._told(key):
            if final.is_dir():
                return
            temporary.mkdir(parents=True)
            try:
                for name, text in texts.items():
                    (temporary / name).write_text(text)
                for name, source in copies.items():
                    fetch(self, source, temporary / name)
                for name in (*texts, *copies):
                    _sync(temporary / name)
                _sync(temporary)
                _rename_new(temporary, final)
                _sync(final.parent)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def current(self, place: str) -> int | None:
        try:
            named = Path(os.readlink(self._path(place) / CURRENT)).name
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ArtefactsUnavailable(f"{self.address(place)}/{CURRENT} cannot be read: {error.strerror}") from error
        return int(named)

    def advance(self, place: str, version: int) -> bool:
        directory = self._path(place)
        with self._told(place), _locked(directory / ".lock"):
            before = self.current(place)
            if before is not None and before >= version:
                return False
            link = directory / f".{CURRENT}.{uuid.uuid4().hex}"
            link.symlink_to(Path(version_key(place, version)).relative_to(place))
            link.replace(directory / CURRENT)
            _sync(directory)
            return True

    def tidy(self, below: str, older_than_s: float) -> int:
        before, gone = time.time() - older_than_s, 0
        for path in list(self._path(below).rglob(".*.*")):
            with suppress(OSError):
                if not _TEMPORARY.fullmatch(path.name) or path.lstat().st_mtime >= before:
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
                gone += 1
        return gone

    def address(self, key: str) -> str:
        return str(self._root / key)

    def _path(self, key: str) -> Path:
        """Raises ArtefactDamaged for a key that would lead out of the root."""
        parts = key.split("/")
        if key.startswith("/") or ".." in parts or "\0" in key:
            raise ArtefactDamaged(f"{key!r} lies outside the artefact root {self._root}: not touched")
        return self._root / key

    @contextmanager
    def _told(self, key: str) -> Iterator[None]:
        """Say of an operating system's error which file it was."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise ArtefactsUnavailable(
                f"{self.address(key)} cannot be written or read: {reason} (CELERIAC_ARTEFACT_ROOT={self._root})"
            ) from error


def _place(local: Path, final: Path) -> None:
    temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex}")
    try:
        shutil.copyfile(local, temporary)
        _sync(temporary)
        temporary.replace(final)
        _sync(final.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _rename_new(temporary: Path, final: Path) -> None:
    """Rename a directory to a name that is free; of two who come at once, the second finds it taken."""
    try:
        temporary.rename(final)
    except OSError:
        if not final.is_dir():
            raise


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of this file; the kernel, or the server of the mount, frees it when its holder dies.

    Raises ArtefactsUnavailable when another holds it for too long.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        until = time.monotonic() + LOCK_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise ArtefactsUnavailable(f"{path} is held by another publisher for {LOCK_S:g} s") from None
                time.sleep(_AGAIN_S)
        yield
    finally:
        os.close(handle)
