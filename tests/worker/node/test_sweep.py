"""What a host deletes by itself: files of trials that went on elsewhere, and of studies that were pruned elsewhere."""

from datetime import timedelta
from pathlib import Path

import pytest

from celeriac.domain.lifecycle import StudyEvent
from celeriac.runtime.settings import Settings
from celeriac.store import Store
from tests.celeriac.store.conftest import memory_subject
from tests.celeriac.store.scenes import leased, queued, scored
from worker.node.sweep import sweep


@pytest.fixture
def roots(tmp_path: Path) -> Settings:
    return Settings(checkpoint_root=tmp_path / "checkpoints", log_root=tmp_path / "logs")


def written(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


def closed_study(store: Store) -> int:
    study = queued(store, 2)
    for number in range(2):
        lease = leased(store, study, number)
        store.finish_attempt(lease.token, scored(0.5, log_tail="said"))
        store.drop_checkpoints(lease.token)
    store.move_study(study.id, StudyEvent.FINISH, "done", turn=store.study(study.id).turn)
    return study.id


def test_what_a_trial_left_before_it_moved_to_another_host_is_deleted(roots: Settings) -> None:
    subject = memory_subject()
    study_id = closed_study(subject.store)
    left = written(roots.checkpoint_root / f"{study_id}/0/attempt1-step3.ckpt")
    half = written(roots.checkpoint_root / f"{study_id}/1/.attempt1-step4.ckpt.77.tmp")
    others = written(roots.checkpoint_root / "999/0/attempt1-step3.ckpt")  # a study that is not known here
    log = written(roots.log_root / f"{study_id}/0-1.log")
    sweep(subject.store, roots)
    assert left.exists()  # an hour is for whoever ran the trial
    subject.pass_time(4000)
    sweep(subject.store, roots)
    assert not left.exists()
    assert not half.parent.parent.exists()
    assert others.exists()
    assert log.exists()  # nobody has pruned


def test_logs_that_were_pruned_on_another_host_are_deleted(roots: Settings) -> None:
    subject = memory_subject()
    study_id = closed_study(subject.store)
    logs = [written(roots.log_root / f"{study_id}/{name}") for name in ("0-1.log", "0-2.log", "1-1.log")]
    mine = written(roots.log_root / f"{study_id}/notes.txt")
    subject.pass_time(4000)
    before = subject.store.now() - timedelta(seconds=1)
    subject.store.prune(study_id, before, reports=False, logs=True)
    sweep(subject.store, roots)
    assert [path.exists() for path in logs] == [False] * 3
    assert mine.exists()


def test_a_link_is_not_followed(roots: Settings, tmp_path: Path) -> None:
    subject = memory_subject()
    study_id = closed_study(subject.store)
    kept = written(tmp_path / "elsewhere" / "0" / "0-1.log")
    for root in (roots.checkpoint_root, roots.log_root):
        root.mkdir()
        (root / str(study_id)).symlink_to(tmp_path / "elsewhere")
    subject.pass_time(4000)
    subject.store.prune(study_id, subject.store.now(), reports=False, logs=True)
    sweep(subject.store, roots)
    assert kept.exists()
