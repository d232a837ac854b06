"""Copying checkpoints to the storage: whole before their rows, newest first, and nobody waits."""

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from celeriac.domain.records import Checkpoint, Report
from celeriac.runtime.artefacts import ArtefactsUnavailable
from tests.worker.conftest import until
from worker.attempt import uploads as module
from worker.attempt.uploads import Listeners, Uploads


class Storage:
    """A storage that is slow (`go_on` is not set) or away (`errors`, one a call) when told to."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.errors: list[Exception] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.began = 0

    def put(self, local: Path, key: str) -> None:
        self.began += 1
        assert self.go_on.wait(30)
        if self.errors:
            raise self.errors.pop(0)
        self.kept[key] = local.read_bytes()

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            del self.kept[key]


class Desk:
    """The attempt's side: what was written, said and thrown away."""

    def __init__(self, root: Path) -> None:
        self.root, self.storage = root, Storage()
        self.rows: list[int] = []
        self.notes: list[str] = []
        self.thrown: list[int] = []
        opened: Any = self.storage
        self.uploads = Uploads(lambda: opened, root, Listeners(self._kept, self.notes.append, self._left_out))

    def _kept(self, report: Report) -> None:
        assert report.checkpoint is not None
        assert report.checkpoint.path in self.storage.kept, "its row would name a file that is not there"
        self.rows.append(report.step)

    def _left_out(self, checkpoint: Checkpoint) -> None:
        self.thrown.append(checkpoint.step)

    def write(self, step: int) -> None:
        path = f"3/7/attempt1-step{step}.ckpt"
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(f"state {step}")
        self.uploads.put(Report(step, 0.5, {}, Checkpoint(3, 7, 1, step, path, "0" * 64, 7)))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(module, "AGAIN_S", 0.02)
    desk = Desk(tmp_path)
    yield desk
    desk.storage.go_on.set()
    desk.uploads.leave()


def test_each_is_whole_in_the_storage_before_its_row_is_written(desk: Desk) -> None:
    for step in range(3):
        desk.write(step)
        assert desk.uploads.settled()
    assert desk.rows == [0, 1, 2]
    assert desk.storage.kept["3/7/attempt1-step2.ckpt"] == b"state 2"
    assert (desk.uploads.newest, desk.notes, desk.thrown) == (2, [], [])


def test_of_those_that_come_faster_than_they_can_be_copied_the_newest_waits(desk: Desk) -> None:
    desk.storage.go_on.clear()
    desk.write(0)
    until(lambda: desk.storage.began == 1)
    for step in (1, 2, 3):
        desk.write(step)  # never waits
    desk.storage.go_on.set()
    assert desk.uploads.settled()
    assert (desk.rows, desk.thrown) == ([0, 3], [1, 2])
    assert "checkpoint of step 1 is left out: the storage is slower" in desk.notes[0]


def test_a_storage_that_is_away_is_said_once_and_asked_again(desk: Desk) -> None:
    desk.storage.errors = [ArtefactsUnavailable("s3://x is away") for _ in range(3)]
    desk.write(0)
    assert desk.uploads.settled()
    assert desk.rows == [0]
    assert desk.notes == ["checkpoint of step 0 is not kept yet, going on: s3://x is away"]


def test_what_cannot_be_copied_at_all_is_thrown_away_and_the_next_is_copied(desk: Desk) -> None:
    desk.storage.errors = [ValueError("a bug of a library")]
    desk.write(0)
    assert desk.uploads.settled()
    desk.write(1)
    assert desk.uploads.settled()
    assert (desk.rows, desk.thrown) == ([1], [0])


def test_what_is_copied_after_the_attempt_s_end_is_deleted_and_never_a_row(desk: Desk) -> None:
    desk.storage.go_on.clear()
    desk.write(0)
    until(lambda: desk.storage.began == 1)
    desk.uploads.leave()
    assert not desk.uploads.settled()
    desk.storage.go_on.set()
    thread = desk.uploads._thread
    assert thread is not None
    thread.join(10)
    assert (desk.rows, desk.storage.kept, desk.uploads.newest) == ([], {}, None)
