"""What is asked of an artefact root. Rules: a file is there whole, or not at all; a version that is published never
changes; `current` goes forward only, in one step.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from celeriac.domain.errors import CallerError, TryAgain
from celeriac.domain.records import Artefact

VERSIONS, CURRENT = "versions", "current"
_PIECE = 1 << 20


class ArtefactsUnavailable(TryAgain):
    """The root cannot be reached or written now; says which, and why."""


class ArtefactDamaged(CallerError):
    """A file is not there, or not what its row says."""


class Artefacts(Protocol):
    """An artefact root. Keys are relative paths with `/`. Every method may raise ArtefactsUnavailable."""

    def put(self, local: Path, key: str) -> None:
        """Keep a copy of a local file under this key, in place of what is there."""

    def get(self, key: str, to: Path) -> None:
        """Copy a file out, to a path that is written over. Raises ArtefactDamaged when it is not there."""

    def delete(self, keys: Iterable[str]) -> None:
        """Delete these; one that is gone already is no error."""

    def keys(self, below: str) -> list[str]:
        """All keys below a prefix, sorted."""

    def pack(self, key: str, texts: Mapping[str, str], copies: Mapping[str, Artefact]) -> None:
        """Make a version: the files `texts` by name, and `copies` of artefacts. Whole or not at all; one that is there
        stays as it is. Raises ArtefactDamaged when an artefact is not there, or not what its row says.
        """

    def current(self, place: str) -> int | None:
        """The version that `current` in this place names; None before the first."""

    def advance(self, place: str, version: int) -> bool:
        """Have `current` name this version, in one step, if it names an older one or none; whether it did."""

    def tidy(self, below: str, older_than_s: float) -> int:
        """Delete what was left half-written there, so long ago, by programs that died; how many things."""

    def address(self, key: str) -> str:
        """The key as a path or an address, for people."""


def version_key(place: str, version: int) -> str:
    """Where a version lies. Sorted as text, versions are in their order."""
    return f"{place}/{VERSIONS}/{version:012d}"


def version_of(key: str, place: str) -> int | None:
    """The version that a key below a place belongs to; None for another key."""
    rest = key.removeprefix(f"{place}/{VERSIONS}/")
    number = rest.partition("/")[0]
    return int(number) if rest != key and number.isdigit() else None


def hashed(path: Path, name: str = "") -> Artefact:
    """The artefact that a local file would be under that name."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
    return Artefact(name, digest.hexdigest(), size)


def fetch(artefacts: Artefacts, wanted: Artefact, to: Path) -> None:
    """Copy an artefact out, whole and with the hash of its row, or leave what is at `to` alone.

    Raises ArtefactDamaged, ArtefactsUnavailable, OSError.
    """
    temporary = to.with_name(f".{to.name}.part")
    try:
        artefacts.get(wanted.path, temporary)
        found = hashed(temporary)
        if found.sha256 != wanted.sha256:
            raise ArtefactDamaged(
                f"{artefacts.address(wanted.path)} has {found.size_bytes:,} bytes with hash {found.sha256[:12]}…, its"
                f" row says {wanted.size_bytes:,} with {wanted.sha256[:12]}…: it was changed after it was kept"
            )
        temporary.replace(to)
    finally:
        temporary.unlink(missing_ok=True)
