"""The user's handle, offline and over a channel: what it gives, refuses, writes and raises."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from celeriac.trial import Trial, TrialPreempted, TrialStopped, described, flat, number_in


class Recorded:
    """A channel whose other end is the test."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.word: str | None = None

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(json.loads(json.dumps(message)))

    def poll(self) -> str | None:
        return self.word


@pytest.fixture
def channel() -> Recorded:
    return Recorded()


@pytest.fixture
def trial(channel: Recorded, tmp_path: Path) -> Trial:
    return Trial({"lr": 0.1}, channel=channel, root=tmp_path, directory=tmp_path / "3" / "7", attempt=2, number=7)


def saving(text: str) -> Any:
    return lambda path: Path(path).write_text(text)


def test_the_sdk_loads_the_standard_library_only() -> None:
    code = "import sys; from celeriac import Trial; print([m for m in sys.modules if m.split('.')[0] in %r])"
    loaded = subprocess.run(
        [sys.executable, "-c", code % ["sqlalchemy", "celery", "redis", "numpy", "torch", "ruamel"]],
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.strip() == "[]"


def test_offline_prints_and_keeps_reports(capsys: pytest.CaptureFixture[str]) -> None:
    trial = Trial.offline({"lr": 0.1}, context={"region": "eu"}, seed=5)
    trial.report(0.25, step=0, metrics={"loss": 2.0}, checkpoint=saving("weights"))
    assert (trial.params["lr"], trial.context["region"], trial.seed, trial.device) == (0.1, "eu", 5, "cpu")
    assert (trial.checkpoint, trial.start, trial.should_stop) == (None, 0, False)
    assert [report["value"] for report in trial.reports] == [0.25]
    assert trial.reports[0]["checkpoint"]["size_bytes"] == len("weights")
    assert capsys.readouterr().out == "step 0: 0.25  loss 2.0\n"


def test_offline_keeps_checkpoints_where_it_is_told(tmp_path: Path) -> None:
    trial = Trial.offline({}, directory=tmp_path, checkpoint="earlier", start=4)
    trial.report(1, step=trial.start, checkpoint=saving("weights"))
    assert (tmp_path / "attempt1-step4.ckpt").read_text() == "weights"
    assert (trial.checkpoint, trial.start) == ("earlier", 4)


def test_offline_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    trial = Trial.offline({})
    trial.report(1, step=0, checkpoint=saving("weights"))
    assert len(list(tmp_path.iterdir())) == 1
    del trial
    assert list(tmp_path.iterdir()) == []


def test_attributes_are_read_only(trial: Trial) -> None:
    with pytest.raises(AttributeError):
        trial.params = {}  # type: ignore[misc]
    with pytest.raises(TypeError):
        trial.params["lr"] = 1.0  # type: ignore[index]


def test_report_sends_value_step_and_metrics(trial: Trial, channel: Recorded) -> None:
    trial.report(1, step=0, metrics={"loss": 0.5, "n": 3, "phase": "warm", "ok": True})
    assert channel.sent == [
        {"kind": "report", "step": 0, "value": 1.0, "metrics": {"loss": 0.5, "n": 3, "phase": "warm", "ok": True}}
    ]
    assert trial.last_step == 0


def test_a_report_that_is_not_finite_passes(trial: Trial, channel: Recorded) -> None:
    trial.report(float("nan"), step=0)
    assert channel.sent[0]["value"] != channel.sent[0]["value"]


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"value": "0.5", "step": 5}, TypeError, "report's value must be a number, got str '0.5'"),
        ({"value": None, "step": 5}, TypeError, r"got nothing \(None\)"),
        ({"value": True, "step": 5}, TypeError, "bool True"),
        ({"value": 1.0, "step": 1.5}, TypeError, "step must be a whole number"),
        ({"value": 1.0, "step": True}, TypeError, "step must be a whole number"),
        ({"value": 1.0, "step": -1}, ValueError, "step -1: steps are 0 or more"),
        ({"value": 1.0, "step": 2**63}, ValueError, r"step int 9223372036854775808: .*64 bits"),
        ({"value": 1.0, "step": 5, "metrics": {"a": 2**63}}, ValueError, r"metrics\['a'\] does not fit into 64"),
        ({"value": 1.0, "step": 4}, ValueError, "step 4 after step 4: steps grow"),
        ({"value": 1.0, "step": 5, "metrics": [1]}, TypeError, "metrics must map names"),
        ({"value": 1.0, "step": 5, "metrics": {1: 1}}, TypeError, "names are strings"),
        ({"value": 1.0, "step": 5, "metrics": {"a": [1]}}, TypeError, r"metrics\['a'\] must be a number"),
        ({"value": 1.0, "step": 5, "metrics": {"a": float("inf")}}, ValueError, r"metrics\['a'\] is inf"),
    ],
)
def test_bad_reports_are_refused(
    trial: Trial, channel: Recorded, arguments: dict[str, Any], error: type[Exception], says: str
) -> None:
    trial.report(0.0, step=4)
    with pytest.raises(error, match=says):
        trial.report(**arguments)
    assert len(channel.sent) == 1


def test_numbers_come_out_of_numpy() -> None:
    numpy = pytest.importorskip("numpy")
    assert number_in(numpy.float32(0.5), "it") == 0.5
    assert number_in(numpy.array(2), "it") == 2.0
    assert flat({"n": numpy.int64(3)}) == {"n": 3.0}
    with pytest.raises(TypeError, match="ndarray"):
        number_in(numpy.ones(1), "it")


def test_described_survives_a_hostile_repr() -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise OSError

    assert described(Hostile()) == "Hostile <its repr raised OSError>"
    assert len(described("x" * 1000)) < 140


def test_a_checkpoint_is_whole_named_and_hashed(trial: Trial, channel: Recorded, tmp_path: Path) -> None:
    trial.report(0.5, step=3, checkpoint=saving("weights"))
    assert channel.sent[0]["checkpoint"] == {
        "path": "3/7/attempt2-step3.ckpt",
        "sha256": hashlib.sha256(b"weights").hexdigest(),
        "size_bytes": 7,
    }
    assert [path.name for path in (tmp_path / "3/7").iterdir()] == ["attempt2-step3.ckpt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_disk_that_refuses_costs_the_checkpoint_only(
    trial: Trial, channel: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def save(path: str) -> None:
        Path(path).write_text("half")
        raise OSError(number, os.strerror(number))

    trial.report(0.5, step=3, checkpoint=save)
    assert os.strerror(number) in channel.sent[0]["checkpoint_error"]
    assert "checkpoint" not in channel.sent[0]
    assert "checkpoint of step 3 not written, going on" in capsys.readouterr().err
    assert list((tmp_path / "3/7").iterdir()) == []


def test_a_full_disk_hidden_behind_a_librarys_error_is_seen(trial: Trial, channel: Recorded) -> None:
    def save(path: str) -> None:
        os.symlink("/dev/full", path)  # the kernel's own full disk
        raise RuntimeError("unexpected position in archive")

    trial.report(0.5, step=3, checkpoint=save)
    assert "No space left" in channel.sent[0]["checkpoint_error"]
    assert "unexpected position" in channel.sent[0]["checkpoint_error"]


def test_a_directory_that_cannot_be_made_costs_the_checkpoint_only(
    trial: Trial, channel: Recorded, tmp_path: Path
) -> None:
    (tmp_path / "3").write_text("a file where a directory should be")
    trial.report(0.5, step=3, checkpoint=saving("weights"))
    assert "Not a directory" in channel.sent[0]["checkpoint_error"]


@pytest.mark.parametrize("error", [KeyError("layer"), PermissionError(errno.EACCES, "no")])
def test_the_users_own_errors_come_through(trial: Trial, tmp_path: Path, error: Exception) -> None:
    def save(path: str) -> None:
        Path(path).write_text("half")
        raise error

    with pytest.raises(type(error)):
        trial.report(0.5, step=3, checkpoint=save)
    assert list((tmp_path / "3/7").iterdir()) == []


def test_a_save_that_writes_elsewhere_is_told(trial: Trial, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="left no file at the path"):
        trial.report(0.5, step=3, checkpoint=lambda path: Path(path + ".npy").write_text("weights"))
    with pytest.raises(ValueError, match="left no file at the path"):
        trial.report(0.5, step=3, checkpoint=lambda path: os.makedirs(path))
    assert [path.name for path in (tmp_path / "3/7").iterdir() if path.is_dir()] == []


def test_stop_is_raised_after_the_report(trial: Trial, channel: Recorded) -> None:
    channel.word = "stop"
    with pytest.raises(TrialStopped) as caught:
        trial.report(0.5, step=3)
    assert not isinstance(caught.value, TrialPreempted | Exception)
    assert (len(channel.sent), trial.heeded) == (1, "stop")


def test_preemption_is_raised_after_the_checkpoint(trial: Trial, channel: Recorded) -> None:
    channel.word = "preempt"
    with pytest.raises(TrialPreempted):
        trial.report(0.5, step=3, checkpoint=saving("weights"))
    assert channel.sent[0]["checkpoint"]["path"].endswith("step3.ckpt")


def test_should_stop_asks_and_remembers(trial: Trial, channel: Recorded) -> None:
    before = trial.should_stop, trial.heeded
    channel.word = "stop"
    assert before == (False, None)
    assert (trial.should_stop, trial.heeded) == (True, "stop")


def test_torch_on_a_full_disk(trial: Trial, channel: Recorded) -> None:
    """torch.save says RuntimeError when the disk is full; the trial goes on all the same."""
    torch = pytest.importorskip("torch")

    def save(path: str) -> None:
        os.symlink("/dev/full", path)
        torch.save({"weights": torch.zeros(100_000)}, path)

    trial.report(0.5, step=3, checkpoint=save)
    assert "No space left" in channel.sent[0]["checkpoint_error"]


@pytest.mark.parametrize("name", ["suggest_float", "suggest_categorical", "should_prune"])
def test_an_objective_written_for_optuna_is_told_how_it_is_written_here(name: str) -> None:
    trial = Trial.offline({"lr": 0.1})
    with pytest.raises(AttributeError, match=r"trial\.params\[|`trial\.report\(value"):
        getattr(trial, name)
    assert not hasattr(trial, "suggestions")


def test_a_trial_alone_is_rank_0_of_1_and_plans_its_batches(trial: Trial) -> None:
    assert (trial.rank, trial.world, dict(trial.recorded)) == (0, 1, {})
    assert trial.batch_plan(256, 64).sizes == (64,) * 4
    assert trial.batch_plan(256, 64, world=3).sizes == (43, 43)
    assert trial.recorded == {"batch_plan": "256 = 2 steps of 43/43/42", "micro_batch": 43, "accumulation_steps": 2}


def test_a_member_plans_for_its_own_rank(channel: Recorded, tmp_path: Path) -> None:
    member = Trial({}, channel=channel, root=tmp_path, directory=tmp_path, rank=2, world=3)
    assert (member.rank, member.world, member.batch_plan(256, 64).sizes) == (2, 3, (42, 42))
