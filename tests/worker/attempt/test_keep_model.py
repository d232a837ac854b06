"""The model of a trial, end to end: kept with its score, or missed with the reason, and never at the score's cost."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from celeriac.domain.messages import RunTrial
from celeriac.domain.records import TrialRecord, TrialState
from celeriac.runtime.artefacts import open_artefacts
from celeriac.runtime.artefacts.api import fetch
from celeriac.runtime.settings import Settings
from celeriac.store import Store
from tests.celeriac.runtime.artefacts.roots import BUCKET
from tests.worker.conftest import Bench, opened_bench


@pytest.fixture
def bench(store: Store, quick: Settings) -> Iterator[Bench]:
    """A slot's tools; models of up to a megabyte are kept, if they are written within a second."""
    with opened_bench(store, replace(quick, model_bytes=1_000_000, model_s=1.0)) as bench:
        yield bench


def run_all(bench: Bench, keep_model: str, scores: list[float]) -> list[TrialRecord]:
    """A study whose trials score so, one after the other."""
    study = bench.study("models:gives", keep_model=keep_model)
    tickets = [bench.ticket(study, {"x": x}) for x in scores]
    for ticket in tickets:
        bench.attempt(ticket)
    bench.settle()
    return bench.store.trials(study.id)


def models_of(bench: Bench) -> list[str]:
    return open_artefacts(bench.settings.artefact_root).keys("models")


def test_a_model_is_kept_with_its_score(bench: Bench, tmp_path: Path) -> None:
    trial = bench.run("models:gives", {"x": 0.5}, keep_model="best")
    assert (trial.state, trial.score, trial.detail) == (TrialState.SCORED, 0.5, "")
    assert trial.model is not None
    assert models_of(bench) == [trial.model.path]
    fetch(open_artefacts(bench.settings.artefact_root), trial.model, tmp_path / "model")
    assert (tmp_path / "model").read_text() == "model of 0 by 0.5"
    assert trial.model.size_bytes == len("model of 0 by 0.5")
    bench.settle()
    left = [path for path in bench.settings.checkpoint_root.rglob("*") if path.is_file()]
    assert left == []


def test_where_no_model_is_wanted_none_is_written(bench: Bench) -> None:
    trial = bench.run("models:gives", {"x": 0.5, "how": "dies"})
    assert (trial.state, trial.score, trial.model) == (TrialState.SCORED, 0.5, None)
    assert models_of(bench) == []


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("nothing", "left no file at the path it was given"),
        ("empty", "left an empty file"),
        ("huge", "left 2,000,000 bytes, more than the 1,000,000 of CELERIAC_MODEL_BYTES"),
        ("raises", "its model was not kept: TypeError: cannot pickle a lock"),
        ("dies", "its model was not kept: while it was written: killed by SIGKILL from outside"),
        ("hangs", "its model was not kept: it was not written within 1 s (CELERIAC_MODEL_S)"),
        ("exits", "exited with code 3"),
    ],
)
def test_a_model_that_cannot_be_had_costs_no_score(bench: Bench, how: str, says: str) -> None:
    trial = bench.run("models:gives", {"x": 0.5, "how": how}, keep_model="best")
    assert (trial.state, trial.score, trial.fault, trial.model) == (TrialState.SCORED, 0.5, None, None)
    assert says in trial.detail
    assert models_of(bench) == []


def test_who_wants_models_is_told_when_none_is_given(bench: Bench) -> None:
    trial = bench.run("models:forgets", {"x": 0.5}, keep_model="all")
    assert trial.score == 0.5
    assert "it gives no model: return celeriac.Result(score, model=" in trial.detail


def test_a_root_that_cannot_be_written_costs_the_model_only(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    bench.context.settings = replace(bench.context.settings, artefact_root=str(tmp_path / "file"))
    trial = bench.run("models:gives", {"x": 0.5}, keep_model="best")
    assert (trial.score, trial.model) == (0.5, None)
    assert "its model was not kept" in trial.detail
    assert "CELERIAC_ARTEFACT_ROOT" in trial.detail


def test_only_the_best_trial_s_model_stays(bench: Bench) -> None:
    trials = run_all(bench, "best", [0.5, 0.7, 0.6, 0.9, 0.1])
    assert [trial.number for trial in trials if trial.model] == [3]
    assert trials[3].model is not None
    assert models_of(bench) == [trials[3].model.path]


def test_all_models_stay_where_all_are_wanted(bench: Bench) -> None:
    trials = run_all(bench, "all", [0.5, 0.7, 0.6])
    assert [trial.model.path for trial in trials if trial.model] == models_of(bench)
    assert len(models_of(bench)) == 3


def test_a_result_that_comes_too_late_leaves_no_model(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    study = bench.study("models:gives", keep_model="all")
    ticket = bench.ticket(study, {"x": 0.5})
    finish, trials = bench.store.finish_attempt, []

    def cancelled_meanwhile(token: str, end: object, **how: object) -> TrialRecord:
        trials.append(bench.store.cancel_trial(study.id, ticket.trial, "by a user"))
        return finish(token, end, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(bench.store, "finish_attempt", cancelled_meanwhile)
    bench.attempt(RunTrial(study.id, ticket.trial, 1))
    bench.settle()
    assert bench.trial(ticket).state is TrialState.CANCELLED
    assert models_of(bench) == []


def test_models_are_kept_on_s3(
    bench: Bench, s3: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**s3, "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    address = f"s3://{BUCKET}/kept-models"
    settings = replace(bench.settings, artefact_root=address, model_s=60.0)
    bench.settings = bench.context.settings = settings
    first, second = run_all(bench, "best", [0.5, 0.7])
    assert (first.model, second.detail) == (None, "")
    assert second.model is not None
    fetch(open_artefacts(address), second.model, tmp_path / "model")
    assert (tmp_path / "model").read_text() == "model of 1 by 0.7"
    assert models_of(bench) == [second.model.path]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    away = bench.run("models:gives", {"x": 0.5}, keep_model="all", name="away")
    assert (away.score, away.model) == (0.5, None)
    assert "its model was not kept: s3://models/kept-models/models/" in away.detail
