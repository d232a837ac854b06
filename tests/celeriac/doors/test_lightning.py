"""The Lightning callback in a real training: reports, checkpoints, the way back, and the stop."""

from pathlib import Path
from typing import Any

import pytest

from celeriac.trial import Trial, TrialStopped

pytest.importorskip("lightning", reason="the extra `lightning`; `make test-doors` has it")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def fit(trial: Trial, epochs: int, **more: Any) -> Any:
    """Train a line on four points."""
    import torch
    from lightning.pytorch import LightningModule, Trainer

    from celeriac.doors.lightning import CeleriacCallback

    class Line(LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch: Any, index: int) -> Any:
            return ((self.layer(batch[0]) - batch[1]) ** 2).mean()

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val_loss", ((self.layer(batch[0]) - batch[1]) ** 2).mean())
            self.log("other", 2.0)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=trial.params["lr"])

    x = torch.arange(4.0)[:, None]
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, 2 * x), batch_size=2)
    trainer = Trainer(
        max_epochs=epochs,
        callbacks=[CeleriacCallback("val_loss", trial=trial)],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **more,
    )
    trainer.fit(Line(), data, data, ckpt_path=trial.checkpoint)
    return trainer


def test_a_training_reports_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    first = Trial.offline({"lr": 0.01}, directory=tmp_path / "first")
    (tmp_path / "first").mkdir()
    fit(first, 2)
    assert [each["step"] for each in first.reports] == [0, 1]
    assert first.reports[0]["metrics"] == {"other": 2.0}
    saved = tmp_path / "first" / first.reports[1]["checkpoint"]["path"]
    assert saved.stat().st_size > 0
    (tmp_path / "second").mkdir()
    second = Trial.offline(
        {"lr": 0.01}, directory=tmp_path / "second", checkpoint=str(saved), start=first.reports[1]["step"] + 1
    )
    trainer = fit(second, 4)
    assert [each["step"] for each in second.reports] == [2, 3]
    assert second.reports[0]["value"] < first.reports[1]["value"]
    assert trainer.global_step == 8


def test_a_stop_goes_through_the_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial.offline({"lr": 0.01}, directory=tmp_path)
    monkeypatch.setattr(trial._channel, "poll", lambda: "stop" if len(trial.reports) > 1 else None)
    with pytest.raises(TrialStopped):
        fit(trial, 9)
    assert [each["step"] for each in trial.reports] == [0, 1]


def test_a_metric_that_was_not_logged_is_named(tmp_path: Path) -> None:
    from celeriac.doors.lightning import CeleriacCallback

    class Sees:
        sanity_checking, current_epoch = False, 0
        callback_metrics = {"loss": 1.0}  # noqa: RUF012

    callback = CeleriacCallback("val_loss", trial=Trial.offline({}, directory=tmp_path))
    callback.on_validation_end(Sees(), None)
    with pytest.raises(KeyError, match=r"'val_loss' was not logged by the validation; logged: loss"):
        callback.on_train_epoch_end(Sees(), None)
