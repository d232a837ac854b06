"""The elastic example: how its batch is cut changes nothing of what it learns, and it goes on where it stopped."""

from pathlib import Path
from types import ModuleType

import pytest

from celeriac import Trial

PARAMS = {"lr": 0.1, "width": 32, "batch": 256}


def test_a_batch_that_is_cut_learns_like_one_that_is_not(elastic: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elastic, "EPOCHS", 4)
    losses, scores = [], []
    for fits, cut in ((64, "256 = 4 steps of 64"), (256, "256 = 1 step of 256")):
        monkeypatch.setattr(elastic, "FITS", fits)
        trial = Trial.offline(PARAMS, seed=5)
        scores.append(elastic.objective(trial).score)
        losses.append([each["metrics"]["loss"] for each in trial.reports])
        assert trial.recorded["batch_plan"] == cut
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert scores[0] == pytest.approx(scores[1], abs=0.02)
    assert scores[0] > 0.7


def test_it_goes_on_where_it_stopped(elastic: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(elastic, "EPOCHS", 4)
    whole = Trial.offline(PARAMS, seed=5)
    elastic.objective(whole)
    monkeypatch.setattr(elastic, "EPOCHS", 2)
    elastic.objective(Trial.offline(PARAMS, seed=5, directory=tmp_path))
    monkeypatch.setattr(elastic, "EPOCHS", 4)
    (saved,) = tmp_path.glob("*step1.ckpt")
    resumed = Trial.offline(PARAMS, seed=5, checkpoint=str(saved), start=2)
    elastic.objective(resumed)
    assert [each["value"] for each in resumed.reports] == [each["value"] for each in whole.reports[2:]]
