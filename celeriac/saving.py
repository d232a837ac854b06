"""Writes a file that the user's code makes. Promise: it is whole before anybody hears of it: written under a temporary
name, synced, hashed, renamed. Standard library only.
"""

import errno
import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from celeriac.result import Save

# What a disk says that is full, broken or gone: no fault of the objective.
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE})
_PROBE_BYTES = 65_536


class DiskRefused(OSError):
    """The disk did not take a file; nothing of it is left behind."""


def write_file(
    save: Save, root: Path, directory: Path, name: str, what: str = "checkpoint", *, most_bytes: int | None = None
) -> dict[str, Any]:
    """Let `save` write a file, make it durable and hash it; returns its path relative to `root`, `sha256`,
    `size_bytes`. With `most_bytes` it must not be empty, nor larger.

    Raises DiskRefused when the disk is at fault, ValueError for no file or one of another size, and whatever else
    `save` raises; the temporary file is gone either way.
    """
    temporary, final = directory / f".{name}.{os.getpid()}.tmp", directory / name
    try:
        with _disk_errors(any_error=True):
            directory.mkdir(parents=True, exist_ok=True)
        _call(save, temporary)
        if not temporary.is_file():
            raise ValueError(
                f"{what}={save!r} left no file at the path it was given: write one file, with exactly that name"
            )
        if most_bytes is not None and not 0 < (size := temporary.stat().st_size) <= most_bytes:
            raise ValueError(
                f"{what}={save!r} left an empty file"
                if size == 0
                else f"{what}={save!r} left {size:,} bytes, more than the {most_bytes:,} of CELERIAC_MODEL_BYTES"
            )
        with _disk_errors(any_error=True):
            return _commit(temporary, final, root)
    finally:
        with suppress(OSError):
            _discard(temporary)


def _call(save: Save, temporary: Path) -> None:
    """Call the user's save function; a full disk also counts when a library hid it behind an error of its own."""
    try:
        with _disk_errors():
            save(str(temporary))
    except DiskRefused:
        raise
    except Exception as error:
        refusal = _disk_refusal(temporary)
        if refusal is None:
            raise
        raise DiskRefused(f"{refusal} ({error})") from error


def _disk_refusal(temporary: Path) -> OSError | None:
    """Ask the disk itself: torch.save, for one, turns a full disk into a RuntimeError."""
    try:
        with temporary.open("ab") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error if error.errno in _DISK else None
    return None


def _commit(temporary: Path, final: Path, root: Path) -> dict[str, Any]:
    """Sync, hash, rename, sync the directory: after this the file is whole, whatever dies."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size_bytes = os.fstat(file.fileno()).st_size
    temporary.rename(final)
    handle = os.open(final.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return {"path": str(final.relative_to(root)), "sha256": sha256, "size_bytes": size_bytes}


def _discard(temporary: Path) -> None:
    if temporary.is_dir() and not temporary.is_symlink():
        shutil.rmtree(temporary)
    else:
        temporary.unlink(missing_ok=True)


class _disk_errors:  # noqa: N801 - reads as a statement: `with _disk_errors():`
    """Turn a disk's OSError into DiskRefused; with `any_error` every OSError, for steps that are ours and not the
    user's.
    """

    def __init__(self, *, any_error: bool = False) -> None:
        self._any = any_error

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and (self._any or error.errno in _DISK):
            raise DiskRefused(error.errno, error.strerror or str(error), error.filename) from error
