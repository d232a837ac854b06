"""A sign of life is a file's time, renewed by work; where it cannot be written, the program goes on."""

import logging
import os
from pathlib import Path

import pytest

from celeriac.runtime.liveness import show_life, show_turning


def test_the_file_is_made_and_its_time_renewed(tmp_path: Path) -> None:
    path = tmp_path / "alive"
    show_life(str(path))
    os.utime(path, (1.0, 1.0))
    show_life(str(path))
    assert path.stat().st_mtime > 1.0


def test_no_path_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    show_life("")
    show_turning("")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        show_life(str(tmp_path / "missing" / "alive"))
    assert "no sign of life in" in caplog.text


def test_a_loop_that_turns_has_a_file_of_its_own(tmp_path: Path) -> None:
    show_turning(str(tmp_path / "alive"))
    assert [each.name for each in tmp_path.iterdir()] == ["alive.loop"]
