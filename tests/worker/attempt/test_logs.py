"""An attempt's output: the file and its cap, the tail and its start, and a disk that refuses."""

import resource
from pathlib import Path

from worker.attempt.logs import AttemptLog


def _log(root: Path, *, file_bytes: int = 1000, tail_bytes: int = 100) -> AttemptLog:
    return AttemptLog(root, 7, 3, 2, file_bytes=file_bytes, tail_bytes=tail_bytes)


def test_the_file_is_made_with_the_first_byte(tmp_path: Path) -> None:
    log = _log(tmp_path)
    assert log.path == tmp_path / "7" / "3-2.log"
    assert not log.path.exists()
    log.write(b"hello\n")
    assert log.path.read_bytes() == b"hello\n"
    log.close()


def test_the_file_is_capped_and_the_tail_goes_on(tmp_path: Path) -> None:
    log = _log(tmp_path, file_bytes=20)
    for number in range(10):
        log.write(f"line {number}\n".encode())
    assert log.path.read_bytes().startswith(b"line 0\nline 1\nline 2\n"[:20])
    assert b"capped at 20 bytes" in log.path.read_bytes()
    assert log.tail().endswith("line 9\n")
    log.close()


def test_the_tail_begins_at_a_line_and_says_that_something_is_missing(tmp_path: Path) -> None:
    log = _log(tmp_path, tail_bytes=12)
    log.write(b"first line\nsecond line\nthird\n")
    assert log.tail() == "[...]\nthird\n"
    log.close()


def test_bytes_that_are_no_text_become_text_that_postgres_holds(tmp_path: Path) -> None:
    log = _log(tmp_path)
    log.write(b"a\0b\xff\n")
    assert log.tail() == "a\\x00b\ufffd\n"
    log.close()


def test_the_tail_is_told_once_per_change(tmp_path: Path) -> None:
    log = _log(tmp_path)
    assert log.changed_tail() is None
    log.write(b"one\n")
    assert log.changed_tail() == "one\n"
    assert log.changed_tail() is None
    log.close()


def test_a_disk_that_refuses_costs_the_rest_of_the_file_only(tmp_path: Path) -> None:
    log = _log(tmp_path, tail_bytes=1000)
    log.write(b"kept\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, limits[1]))  # Python ignores SIGXFSZ: writing fails with EFBIG
    try:
        log.write(b"refused by the disk\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    log.write(b"and on\n")
    assert log.path.read_bytes().startswith(b"kept\n")
    assert "ends here: File too large" in log.tail()
    assert log.tail().endswith("and on\n")


def test_that_the_file_ended_early_is_said_however_much_comes_after_it(tmp_path: Path) -> None:
    log = _log(tmp_path)
    log.path.parent.mkdir()
    log.path.symlink_to("/dev/full")
    for number in range(50):
        log.write(f"line {number}\n".encode())
    first, second, *_, last = log.tail().splitlines()
    assert first == f"celeriac: the log file {log.path} ends early: No space left on device"
    assert (second, last) == ("[...]", "line 49")
