"""Which checkpoint is resumed from, which are deleted; nothing outside the root is touched."""

import hashlib
from pathlib import Path

import pytest

from celeriac.domain.errors import CallerError
from celeriac.domain.records import Checkpoint
from celeriac.domain.stop_rules import Asha, Pbt
from worker.attempt import checkpoints


def written(root: Path, step: int, content: bytes = b"weights") -> Checkpoint:
    path = f"{checkpoints.directory(3, 7)}/attempt1-step{step}.ckpt"
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content)
    return Checkpoint(3, 7, 1, step, path, hashlib.sha256(content).hexdigest(), len(content))


def test_the_newest_is_chosen_whatever_the_order(tmp_path: Path) -> None:
    rows = [written(tmp_path, 4), written(tmp_path, 9), written(tmp_path, 6)]
    assert checkpoints.newest_sound(rows, tmp_path) == (rows[1], [])


def test_damaged_cut_and_absent_files_are_refused_with_reasons(tmp_path: Path) -> None:
    rows = [written(tmp_path, step) for step in (1, 2, 3, 4)]
    (tmp_path / rows[3].path).unlink()
    (tmp_path / rows[2].path).write_bytes(b"weight")
    (tmp_path / rows[1].path).write_bytes(b"weighty"[:7])
    chosen, refused = checkpoints.newest_sound(rows, tmp_path)
    assert chosen == rows[0]
    assert [line.split(":")[0] for line in refused] == [f"checkpoint of step {n} refused" for n in (4, 3, 2)]
    assert "shared with the host" in refused[0]
    assert "6 bytes, its row says 7" in refused[1]
    assert "damaged" in refused[2]


def test_none_is_sound(tmp_path: Path) -> None:
    row = written(tmp_path, 1)
    (tmp_path / row.path).unlink()
    chosen, refused = checkpoints.newest_sound([row], tmp_path)
    assert chosen is None
    assert len(refused) == 1
    assert checkpoints.newest_sound([], tmp_path) == (None, [])


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "3/../../outside", "."])
def test_paths_stay_inside_the_root(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside").write_bytes(b"weights")
    with pytest.raises(CallerError, match="outside the checkpoint root"):
        checkpoints.resolved(root, path)
    row = Checkpoint(3, 7, 1, 1, path, "", 7)
    chosen, refused = checkpoints.newest_sound([row], root)
    assert chosen is None
    assert "outside the checkpoint root" in refused[0]


def test_a_link_out_of_the_root_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside").mkdir()
    (root / "3").symlink_to(tmp_path / "outside")
    with pytest.raises(CallerError):
        checkpoints.resolved(root, "3/file")


def test_the_last_two_and_the_best_are_kept(tmp_path: Path) -> None:
    rows = [written(tmp_path, step) for step in (0, 1, 2, 3, 4)]
    assert checkpoints.doomed(rows, best_step=1) == (rows[0], rows[2])
    assert checkpoints.doomed(rows, best_step=4) == (rows[0], rows[1], rows[2])
    assert checkpoints.doomed(rows, best_step=None) == (rows[0], rows[1], rows[2])
    assert checkpoints.doomed(rows[:2], best_step=None) == ()


def test_deleting_spares_the_rest_and_bears_repeats(tmp_path: Path) -> None:
    rows = [written(tmp_path, 0), written(tmp_path, 1)]
    checkpoints.delete(rows[:1], tmp_path)
    checkpoints.delete(rows[:1], tmp_path)
    assert [path.name for path in (tmp_path / "3/7").iterdir()] == ["attempt1-step1.ckpt"]


def test_a_deletion_outside_the_root_is_an_error(tmp_path: Path) -> None:
    row = Checkpoint(3, 7, 1, 1, "../precious", "", 7)
    with pytest.raises(CallerError):
        checkpoints.delete([row], tmp_path / "root")


def test_an_ended_trials_directory_goes_and_its_neighbours_stay(tmp_path: Path) -> None:
    written(tmp_path, 0)
    neighbour = tmp_path / "3/8"
    neighbour.mkdir()
    checkpoints.remove(tmp_path, 3, 7)
    assert [path.name for path in (tmp_path / "3").iterdir()] == ["8"]
    checkpoints.remove(tmp_path, 3, 8)
    checkpoints.remove(tmp_path, 3, 8)
    assert list(tmp_path.iterdir()) == []


def test_of_a_population_the_newest_at_or_before_each_ready_step_stays(tmp_path: Path) -> None:
    rows = [written(tmp_path, step) for step in (1, 4, 5, 6, 9, 12, 19, 20, 21)]
    kept = checkpoints.inheritance(rows, Pbt(every=5, max=20))
    assert [each.step for each in kept] == [5, 9, 12]
    assert checkpoints.inheritance(rows[:2], Pbt(every=5, max=20)) == (rows[1],)
    assert checkpoints.inheritance(rows, Asha(1, 27)) == ()
    assert checkpoints.inheritance(rows, None) == ()
