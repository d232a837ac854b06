"""An attempt's output: the file and its cap, the tail and its start, and a disk that refuses."""

import os
import resource
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from worker.attempt import logs
from worker.attempt.janitor import Janitor
from worker.attempt.logs import AttemptLog

Opens = Callable[..., AttemptLog]


@pytest.fixture
def writer() -> Iterator[Janitor]:
    """The thread that writes the files."""
    writer = Janitor("log-writer")
    yield writer
    writer.close()


@pytest.fixture
def opened(tmp_path: Path, writer: Janitor) -> Opens:
    """Opens the log of an attempt."""
    return partial(AttemptLog, tmp_path, 7, 3, 2, writer=writer, file_bytes=1000, tail_bytes=100)


def test_the_file_is_made_with_the_first_byte(opened: Opens, tmp_path: Path) -> None:
    log = opened()
    assert log.path == tmp_path / "7" / "3-2.log"
    assert not log.path.exists()
    log.write(b"hello\n")
    log.close()
    assert log.path.read_bytes() == b"hello\n"


def test_the_file_is_capped_and_the_tail_goes_on(opened: Opens) -> None:
    log = opened(file_bytes=20)
    for number in range(10):
        log.write(f"line {number}\n".encode())
    log.close()
    assert log.path.read_bytes().startswith(b"line 0\nline 1\nline 2\n"[:20])
    assert b"capped at 20 bytes" in log.path.read_bytes()
    assert log.tail().endswith("line 9\n")


def test_the_tail_begins_at_a_line_and_says_that_something_is_missing(opened: Opens) -> None:
    log = opened(tail_bytes=12)
    log.write(b"first line\nsecond line\nthird\n")
    assert log.tail() == "[...]\nthird\n"
    log.close()


def test_bytes_that_are_no_text_become_text_that_postgres_holds(opened: Opens) -> None:
    log = opened()
    log.write(b"a\0b\xff\n")
    assert log.tail() == "a\\x00b\ufffd\n"
    log.close()


def test_the_tail_is_told_once_per_change(opened: Opens) -> None:
    log = opened()
    assert log.changed_tail() is None
    log.write(b"one\n")
    assert log.changed_tail() == "one\n"
    assert log.changed_tail() is None
    log.close()


def test_a_disk_that_refuses_costs_the_rest_of_the_file_only(opened: Opens, writer: Janitor) -> None:
    log = opened(tail_bytes=1000)
    log.write(b"kept\n")
    assert writer.settle(5)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, limits[1]))  # Python ignores SIGXFSZ: writing fails with EFBIG
    try:
        log.write(b"refused by the disk\n")
        assert writer.settle(5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    log.write(b"and on\n")
    assert log.path.read_bytes().startswith(b"kept\n")
    assert "ends here: File too large" in log.tail()
    assert log.tail().endswith("and on\n")


def test_that_the_file_ended_early_is_said_however_much_comes_after_it(opened: Opens, writer: Janitor) -> None:
    log = opened()
    log.path.parent.mkdir()
    log.path.symlink_to("/dev/full")
    for number in range(50):
        log.write(f"line {number}\n".encode())
        assert writer.settle(5)
    first, second, *_, last = log.tail().splitlines()
    assert first == f"celeriac: the log file {log.path} ends early: No space left on device"
    assert (second, last) == ("[...]", "line 49")


def test_a_mount_that_hangs_costs_the_file_only(
    opened: Opens, writer: Janitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe without a reader stands for it: opening it does not come back."""
    monkeypatch.setattr(logs, "CLOSE_S", 0.2)
    log = opened(tail_bytes=1000)
    log.path.parent.mkdir()
    os.mkfifo(log.path)
    began = time.monotonic()
    log.write(b"one\n" * 500)
    log.write(b"last\n")
    assert time.monotonic() - began < 0.2
    log.close()
    log.close()
    assert time.monotonic() - began < 2.0
    assert log.tail().startswith(f"celeriac: the log file {log.path} ends early: it does not answer\n")
    reader = os.open(log.path, os.O_RDONLY | os.O_NONBLOCK)
    assert writer.settle(5)
    os.close(reader)
