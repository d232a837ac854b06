"""An artefact root on S3, or on storage that speaks like it, by fsspec.

An object is there whole or not at all. A version's objects come first; `current` is one small object that names it,
written last, and only in place of the one that was read (a conditional write: If-Match), so that it goes forward only,
whoever publishes. Who is allowed what, and where the storage is, the storage's own library reads from its own settings
(AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and so on).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs

from celeriac.domain.errors import SettingInvalid
from celeriac.domain.records import Artefact
from celeriac.runtime.artefacts.api import CURRENT, ArtefactDamaged, ArtefactsUnavailable, version_key

#: What marks a version as whole: the object that is written last.
WHOLE = "record.json"
KINDS = ("s3://", "s3a://")
MOST_TRIES = 20
#: Of one request: a network that swallows packets is an error soon, and not a thread that hangs for minutes.
PATIENCE = {"connect_timeout": 10, "read_timeout": 60}


class Remote:
    """See `Artefacts`."""

    def __init__(self, root: str, setting: str = "CELERIAC_ARTEFACT_ROOT") -> None:
        """Raises ImportError when the library is not there, SettingInvalid for storage of another kind, which knows no
        conditional writes.
        """
        if not root.startswith(KINDS):
            raise SettingInvalid(
                f"{setting}={root}: must be a directory or an address of S3 such as s3://bucket/prefix"
            )
        self._root = root.rstrip("/")
        self._fs, self._path = url_to_fs(
            self._root, use_listings_cache=False, skip_instance_cache=True, config_kwargs=PATIENCE
        )

    def put(self, local: Path, key: str) -> None:
        with self._told(key):
            self._fs.put_file(str(local), self._full(key))

    def get(self, key: str, to: Path) -> None:
        with self._told(key):
            try:
                self._fs.get_file(self._full(key), str(to))
            except FileNotFoundError as error:
                raise ArtefactDamaged(f"{self.address(key)} is not there") from error

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            with self._told(key):
                try:
                    self._fs.rm_file(self._full(key))
                except FileNotFoundError:
                    continue

    def keys(self, below: str) -> list[str]:
        with self._told(below):
            found = self._fs.find(self._full(below))
        return sorted(str(each).removeprefix(f"{self._path}/") for each in found)

    def pack(self, key: str, texts: Mapping[str, str], copies: Mapping[str, Artefact]) -> None:
        with self._told(key):
            if self._fs.exists(self._full(f"{key}/{WHOLE}")):
                return
            for name, source in copies.items():
                self._copy(source, f"{key}/{name}")
            for name in sorted(texts, key=lambda each: each == WHOLE):
                self._fs.pipe_file(self._full(f"{key}/{name}"), texts[name].encode())

    def current(self, place: str) -> int | None:
        return self._pointer(place)[0]

    def advance(self, place: str, version: int) -> bool:
        body = json.dumps({"version": version, "path": version_key(place, version)}).encode()
        for _ in range(MOST_TRIES):
            before, tag = self._pointer(place)
            if before is not None and before >= version:
                return False
            if self._write_if(f"{place}/{CURRENT}", body, tag):
                return True
        raise ArtefactsUnavailable(f"{self.address(place)}/{CURRENT} is written by others all the time")

    def tidy(self, below: str, older_than_s: float) -> int:
        """Nothing is half-written there; of a version without its record, its later self takes the place."""
        return 0

    def address(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _full(self, key: str) -> str:
        if key.startswith("/") or ".." in key.split("/"):
            raise ArtefactDamaged(f"{key!r} lies outside the artefact root {self._root}: not touched")
        return f"{self._path}/{key}"

    def _copy(self, source: Artefact, key: str) -> None:
        """Copy within the storage. Its size is looked at; who reads the copy holds it to the record's hash."""
        try:
            size = int(self._fs.info(self._full(source.path))["size"])
        except FileNotFoundError as error:
            raise ArtefactDamaged(f"{self.address(source.path)} is not there") from error
        if size != source.size_bytes:
            raise ArtefactDamaged(
                f"{self.address(source.path)} has {size:,} bytes, its row says {source.size_bytes:,}: it was changed"
            )
        self._fs.cp_file(self._full(source.path), self._full(key))

    def _pointer(self, place: str) -> tuple[int | None, str]:
        """The version that `current` names, and the tag of that very object; (None, "") when there is none."""
        key = f"{place}/{CURRENT}"
        with self._told(key):
            try:
                tag = str(self._fs.info(self._full(key)).get("ETag", ""))
                named = json.loads(self._fs.cat_file(self._full(key)))
            except FileNotFoundError:
                return None, ""
        # The object may have been replaced between the two reads: the tag is then the older one's, and a write by it
        # is refused.
        return int(named["version"]), tag

    def _write_if(self, key: str, body: bytes, tag: str) -> bool:
        """Write an object if the one there has this tag ("": if there is none); whether it was written."""
        bucket, _, name = self._full(key).partition("/")
        condition: dict[str, Any] = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
        with self._told(key):
            try:
                self._fs.call_s3("put_object", Bucket=bucket, Key=name, Body=body, **condition)
            except (OSError, ValueError) as error:
                if _says(error, "PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
                    return False
                raise
        return True

    @contextmanager
    def _told(self, key: str) -> Iterator[None]:
        """Say of a storage's error which object it was."""
        try:
            yield
        except (ArtefactDamaged, ArtefactsUnavailable):
            raise
        except Exception as error:
            raise ArtefactsUnavailable(
                f"{self.address(key)} cannot be written or read: {type(error).__name__}: {error}"
            ) from error


def _says(error: BaseException, *words: str) -> bool:
    """Whether an error, or what it came from, has one of these codes."""
    found: BaseException | None = error
    while found is not None:
        response = getattr(found, "response", None) or {}
        if str(response.get("Error", {}).get("Code", "")) in words:
            return True
        found = found.__cause__ or found.__context__
    return False
