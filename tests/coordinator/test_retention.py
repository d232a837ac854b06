"""Retention as a task of the clock: once a day, a command for each age, one after the other."""

import logging
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from celeriac.runtime.settings import Settings
from coordinator.retention import Retention, commands_of
from tests.memory_store import MemoryStore

POLICY = "reports=30d,logs=30d,checkpoints=7d"


def test_the_policy_becomes_commands(tmp_path: Path) -> None:
    settings = Settings.from_env({"CELERIAC_RETENTION": POLICY}, home=tmp_path)
    assert commands_of(settings) == [
        ["prune", "--older-than", "30d", "--reports", "--logs"],
        ["prune", "--older-than", "7d", "--checkpoints"],
    ]


def test_it_is_begun_once_and_each_command_is_run_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    settings = replace(Settings.from_env({"CELERIAC_RETENTION": POLICY}, home=tmp_path), database_url="postgresql://x")
    told = tmp_path / "told"
    script = f"import sys; open({str(told)!r}, 'a').write(' '.join(sys.argv[1:4]) + '\\n'); print('dropped 3')"
    first, second = (Retention(settings, (sys.executable, "-c", script)) for _ in range(2))
    with caplog.at_level(logging.INFO):
        first.tick(store)
        second.tick(store)  # another clock: it was begun already
        for _ in range(2):
            assert first._process is not None
            first._process.wait(30)
            first.tick(store)
    assert told.read_text().splitlines() == ["prune --older-than 30d", "prune --older-than 7d"]
    assert sum("ended with 0: dropped 3" in each.message for each in caplog.records) == 2
    first.tick(store)
    assert (first._process, second._process) == (None, None)
    Retention(replace(settings, retention="")).tick(store)
