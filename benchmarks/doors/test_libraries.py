"""The doors against the libraries themselves: what the page cannot show in ten lines."""

import inspect
import textwrap
from pathlib import Path
from typing import Any

import pytest

from benchmarks.embedded import Embedded
from celeriac.domain.records import StudyState, TrialState
from celeriac.trial import Trial

TRAINS = """
import torch
from transformers import Trainer, TrainingArguments
from celeriac.doors.huggingface import CeleriacCallback


class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x=None, labels=None):
        out = self.layer(x)
        return {"loss": ((out - labels) ** 2).mean(), "logits": out}


DATA = [{"x": torch.tensor([float(k)]), "labels": torch.tensor([2.0 * k])} for k in range(8)]


def objective(trial, epochs=3, out="out"):
    callback = CeleriacCallback("eval_loss", trial=trial)
    arguments = TrainingArguments(
        output_dir=f"{out}-{trial.number}", num_train_epochs=epochs, per_device_train_batch_size=4,
        eval_strategy="epoch", save_strategy="epoch", learning_rate=trial.params["lr"], report_to=[], use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(Line(), arguments, train_dataset=DATA, eval_dataset=DATA, callbacks=[callback])
    trainer.train(resume_from_checkpoint=callback.resume)
    return trainer.evaluate()["eval_loss"]
"""


# These epochs take milliseconds, and a report does not wait long for its verdict: the second one begins when that is
# there.
WAITS = (
    TRAINS.replace("callbacks=[callback]", "callbacks=[callback, Waits(trial)]")
    + """

import time
from transformers import TrainerCallback


class Waits(TrainerCallback):
    def __init__(self, trial):
        self.trial = trial

    def on_epoch_begin(self, args, state, control, **more):
        while self.trial.last_step is not None and not self.trial.should_stop:
            time.sleep(0.01)
"""
)


def test_an_objective_of_optunas_own_pages_word_for_word(stack: Embedded, tmp_path: Path) -> None:
    """Each example objective of the methods' pages, its space learned."""
    import optuna

    for method in ("suggest_int", "suggest_categorical", "report", "set_user_attr"):
        page = inspect.getdoc(getattr(optuna.Trial, method)) or ""
        code = textwrap.dedent(page.partition(".. testcode::")[2].partition("study = optuna.create_study")[0])
        (tmp_path / f"of_{method}.py").write_text(code)
        spec = {
            "study": f"page-{method}",
            "objective": f"of_{method}:objective",
            "code": str(tmp_path),
            "api": "optuna",
            "metric": {"goal": "maximize"},
            "budget": {"trials": 4},
        }
        with stack.client() as client:
            study = client.submit(spec).wait(200)
            assert study.state is StudyState.DONE
            assert {each.state for each in study.each_trial()} == {TrialState.SCORED}
            if method == "set_user_attr":
                assert study.best is not None
                assert study.best.metrics == {"BATCHSIZE": 128}
                assert set(study.spec.space.names) == {"momentum"}


def test_the_real_trainer_reports_saves_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {}
    exec(TRAINS, names)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "first").mkdir()
    first = Trial.offline({"lr": 0.01}, directory=tmp_path / "first")
    names["objective"](first, epochs=2)
    assert [each["step"] for each in first.reports] == [4, 8] or [each["step"] for each in first.reports] == [2, 4]
    last = first.reports[-1]
    (tmp_path / "second").mkdir()
    saved = tmp_path / "first" / last["checkpoint"]["path"]
    second = Trial.offline({"lr": 0.01}, directory=tmp_path / "second", checkpoint=str(saved), start=last["step"] + 1)
    names["objective"](second, epochs=3, out="again")
    assert [each["step"] for each in second.reports] == [last["step"] * 3 // 2]


def test_the_real_trainer_ends_where_the_study_stops_the_trial(stack: Embedded, tmp_path: Path) -> None:
    (tmp_path / "hf_stopped.py").write_text(WAITS)
    spec = {
        "study": "hf-stopped",
        "objective": "hf_stopped:objective",
        "code": str(tmp_path),
        "metric": {"goal": "minimize"},
        "space": {"lr": {"float": [1e-6, 1e-5], "log": True}},  # too small to come to the bound
        "stop_early": {"rule": "threshold", "at": 1, "bound": 1e-3},
        "budget": {"trials": 2},
    }
    with stack.client() as client:
        study = client.submit(spec).wait(200)
        trials = list(study.each_trial())
        assert [each.state for each in trials] == [TrialState.PRUNED] * 2, [each.detail for each in trials]
        told = [each["trial"] for each in study.each_report()]
        assert set(told) == {0, 1}
        assert max(told.count(0), told.count(1)) <= 2, "of three evaluations the third is never come to"


def test_parquet_and_mlflow_read_what_is_exported(stack: Embedded, tmp_path: Path) -> None:
    import mlflow
    from pyarrow import parquet

    with stack.client() as client:
        study = next(each for each in client.studies() if each.record.counts.scored > 3)
        count = study.export("parquet", tmp_path / "all.parquet")
        table = parquet.read_table(tmp_path / "all.parquet")
        assert table.num_rows == count == study.record.next_number
        assert table.column("score").to_pylist() == [each.score for each in study.each_trial()]
        place = f"sqlite:///{tmp_path / 'mlflow.db'}"
        ended = sum(each.ended_at is not None for each in study.each_trial())
        assert [study.export("mlflow", place) for _ in range(2)] == [ended, 0]
        reader = mlflow.MlflowClient(place)
        experiment = reader.get_experiment_by_name(f"celeriac/{study.name}").experiment_id
        runs = {int(run.data.tags["celeriac.trial"]): run for run in reader.search_runs([experiment])}
        for trial in study.each_trial([TrialState.SCORED]):
            assert runs[trial.number].data.metrics[study.record.metric] == trial.score
            assert set(runs[trial.number].data.params) == set(trial.params)
