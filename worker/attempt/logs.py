"""What an attempt printed: a capped file on this host, and a tail for Postgres.

Promise: a trial never waits for, or fails because of, its log. A full disk, or one that does not answer, costs the
file's rest and a note in the tail, which stands at its top once the place itself is cut off.
"""

import os
import threading
from contextlib import suppress
from pathlib import Path

from worker.attempt.janitor import Janitor

# For so long the end of an attempt waits for the rest of its file: a mount may hang.
CLOSE_S = 5.0


class AttemptLog:
    """The output of one attempt: written by the runner's loop, its tail read by the result writer's thread, its file
    written by `writer`.

    The file is made with the first byte, below `root`; `path` is known before. What waits for the file is never more
    than the file may hold.
    """

    def __init__(
        self,
        root: Path,
        study_id: int,
        number: int,
        attempt: int,
        *,
        writer: Janitor,
        file_bytes: int,
        tail_bytes: int,
        rank: int = 0,
    ) -> None:
        name = f"{number}-{attempt}.rank{rank}.log" if rank else f"{number}-{attempt}.log"
        self.path = root / str(study_id) / name
        self._writer = writer
        self._file_left, self._tail_bytes = file_bytes, tail_bytes
        self._file_bytes = file_bytes
        self._changed = threading.Condition()
        self._tail, self._unwritten = bytearray(), bytearray()
        self._cut = False
        self._refused = ""
        self._file: int | None = None
        self._ended = self._writing = False
        self._changes = self._changes_told = 0

    def write(self, data: bytes) -> None:
        """Keep what the trial printed. Never raises, and waits for no file."""
        if not data:
            return
        with self._changed:
            self._to_tail(data)
            if self._ended:
                return
            self._unwritten += data[: self._file_left]
            if len(data) > self._file_left:
                self._ended = True
                self._unwritten += (
                    f"\nceleriac: capped at {self._file_bytes:,} bytes; the end is kept in Postgres\n".encode()
                )
            self._file_left -= min(len(data), self._file_left)
            self._have_written()

    def note(self, text: str) -> None:
        """Add a line of our own."""
        self.write(f"celeriac: {text}\n".encode("utf-8", "backslashreplace"))

    def tail(self) -> str:
        """The last part, as text that Postgres can hold, from the start of a line where something was cut off."""
        with self._changed:
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
        """End the file, and wait a while for what is not written yet; the tail stays. Safe to repeat."""
        with self._changed:
            if self._refused:
                return
            self._ended = True
            if self._unwritten or self._file is not None:
                self._have_written()
            if not self._changed.wait_for(lambda: not self._writing, CLOSE_S):
                self._give_up("it does not answer")

    def _have_written(self) -> None:
        if not self._writing:
            self._writing = True
            self._writer.put(f"writing {self.path}", self._write)

    def _write(self) -> None:
        """In the writer's thread: write what is there, and close the file once there will be no more."""
        while data := self._next():
            try:
                if self._file is None:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
                _write_all(self._file, data)
            except OSError as error:
                with self._changed:
                    self._give_up(error.strerror or str(error))

    def _next(self) -> bytes:
        with self._changed:
            data = bytes(self._unwritten)
            self._unwritten.clear()
            if not data:
                if self._ended and self._file is not None:
                    with suppress(OSError):
                        os.close(self._file)
                    self._file = None
                self._writing = False
                self._changed.notify_all()
            return data

    def _give_up(self, why: str) -> None:
        """Nothing more goes to the file."""
        self._ended = True
        self._unwritten.clear()
        if not self._refused:
            self._refused = f"celeriac: the log file {self.path} ends early: {why}\n"
            self._to_tail(f"celeriac: the log file {self.path} ends here: {why}\n".encode())

    def _to_tail(self, data: bytes) -> None:
        self._changes += 1
        self._tail += data[-self._tail_bytes :]
        excess = len(self._tail) - self._tail_bytes
        if excess > 0:
            self._cut = True
            del self._tail[:excess]
        self._cut |= len(data) > self._tail_bytes


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
