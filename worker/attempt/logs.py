"""What an attempt printed: a capped file on this host, and a tail for Postgres.

Promise: a trial never waits for, or fails because of, its log: a full disk costs the file's rest and a note in the
tail, which stands at its top once the place itself is cut off.
"""

import os
from contextlib import suppress
from pathlib import Path


class AttemptLog:
    """The output of one attempt, written by the runner's loop and read by the result writer's thread.

    The file is made with the first byte, below `root`; `path` is known before.
    """

    def __init__(
        self, root: Path, study_id: int, number: int, attempt: int, *, file_bytes: int, tail_bytes: int
    ) -> None:
        self.path = root / str(study_id) / f"{number}-{attempt}.log"
        self._file_left, self._tail_bytes = file_bytes, tail_bytes
        self._file_bytes = file_bytes
        self._tail = bytearray()
        self._cut = False
        self._refused = ""
        self._file: int | None = None
        self._closed = False
        self._changes = self._changes_told = 0

    def write(self, data: bytes) -> None:
        """Keep what the trial printed. Never raises."""
        if not data:
            return
        self._to_tail(data)
        if not self._closed:
            self._to_file(data)

    def note(self, text: str) -> None:
        """Add a line of our own."""
        self.write(f"celeriac: {text}\n".encode("utf-8", "backslashreplace"))

    def tail(self) -> str:
        """The last part, as text that Postgres can hold, from the start of a line where something was cut off."""
        data = bytes(self._tail)
        if self._cut:
            data = f"{self._refused}[...]\n".encode() + data[data.find(b"\n") + 1 :]
        return data.decode("utf-8", "replace").replace("\0", "\\x00")

    def changed_tail(self) -> str | None:
        """The tail, or None if it was asked for since it last changed."""
        changes, told = self._changes, self._changes_told
        self._changes_told = changes
        return None if changes == told else self.tail()

    def close(self) -> None:
        """Close the file; the tail stays."""
        self._closed = True
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None

    def _to_tail(self, data: bytes) -> None:
        self._changes += 1
        self._tail += data[-self._tail_bytes :]
        excess = len(self._tail) - self._tail_bytes
        if excess > 0:
            self._cut = True
            del self._tail[:excess]
        self._cut |= len(data) > self._tail_bytes

    def _to_file(self, data: bytes) -> None:
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
            _write_all(self._file, data[: self._file_left])
            if len(data) > self._file_left:
                _write_all(
                    self._file,
                    f"\nceleriac: capped at {self._file_bytes:,} bytes; the end is kept in Postgres\n".encode(),
                )
                self.close()
            self._file_left -= min(len(data), self._file_left)
        except OSError as error:
            self.close()
            self._refused = f"celeriac: the log file {self.path} ends early: {error.strerror}\n"
            self._to_tail(f"celeriac: the log file {self.path} ends here: {error.strerror}\n".encode())


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
