"""The Hugging Face callback: what it reports and when, and the checkpoint's way there and back."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from celeriac.trial import Trial

pytest.importorskip("transformers", reason="the extra `huggingface`; `make test-doors` trains with the real Trainer")
pytestmark = pytest.mark.filterwarnings("ignore")


def told(trial: Trial, **more: Any) -> Any:
    from celeriac.doors.huggingface import CeleriacCallback

    return CeleriacCallback("eval_loss", trial=trial, **more)


def test_an_evaluation_is_a_report_and_carries_what_is_saved_then(tmp_path: Path) -> None:
    trial = Trial.offline({}, directory=tmp_path)
    callback, arguments = told(trial), SimpleNamespace(output_dir=str(tmp_path / "out"))
    metrics = {"eval_loss": 0.5, "eval_accuracy": 0.75, "eval_note": "text", "eval_nan": float("nan")}
    callback.on_evaluate(arguments, SimpleNamespace(global_step=2), SimpleNamespace(should_save=False), metrics=metrics)
    first = trial.reports[0]
    assert (first["step"], first["value"], first["metrics"]) == (2, 0.5, {"eval_accuracy": 0.75})
    assert "checkpoint" not in first
    saved = tmp_path / "out" / "checkpoint-4"
    saved.mkdir(parents=True)
    (saved / "model.bin").write_text("weights")
    state = SimpleNamespace(global_step=4)
    callback.on_evaluate(arguments, state, SimpleNamespace(should_save=True), metrics=metrics)
    assert [each["step"] for each in trial.reports] == [2]
    callback.on_save(arguments, state, None)
    callback.on_save(arguments, SimpleNamespace(global_step=6), None)  # saved without an evaluation
    callback.on_evaluate(arguments, state, SimpleNamespace(should_save=False), metrics=metrics)  # once more, at the end
    assert [each["step"] for each in trial.reports] == [2, 4]
    kept = tmp_path / trial.reports[-1]["checkpoint"]["path"]
    again = Trial.offline({}, directory=tmp_path, checkpoint=str(kept), start=5)
    place = told(again).resume
    assert place.endswith("checkpoint-4")
    assert Path(place, "model.bin").read_text() == "weights"


def test_outside_of_a_trial_it_does_nothing() -> None:
    from celeriac.doors.huggingface import CeleriacCallback

    callback = CeleriacCallback()
    assert callback.resume is None
    callback.on_evaluate(None, SimpleNamespace(global_step=1), SimpleNamespace(should_save=False), metrics={})


def test_a_metric_that_is_not_there_is_named(tmp_path: Path) -> None:
    callback = told(Trial.offline({}, directory=tmp_path))
    with pytest.raises(KeyError, match=r"'eval_loss' is none of the evaluation's metrics: eval_f1"):
        callback.on_evaluate(
            None, SimpleNamespace(global_step=1), SimpleNamespace(should_save=False), metrics={"eval_f1": 1}
        )
