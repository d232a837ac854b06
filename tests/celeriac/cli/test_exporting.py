"""`celeriac export`: what comes out can be read back, whole."""

import csv
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from celeriac.client import Client, Study
from celeriac.client.study import row_of
from celeriac.domain.records import Lease, Report, Source, Suggestion
from tests.celeriac.cli.played import SPEC, Celeriac, started
from tests.celeriac.store.scenes import scored

SPACE = {
    "lr": {"float": [1e-5, 1e-1], "log": True},
    "opt": {"choice": ["a,b", 'say "c"', True]},
    "m": {"int": [1, 9], "when": {"opt": "a,b"}},
}


@pytest.fixture
def study(celeriac: Celeriac, client: Client) -> Study:
    """Two trials with reports, one that waits; the second has a parameter that the first has not."""
    spec = {**SPEC, "space": SPACE, "default": {"lr": 0.1, "opt": True}}
    found = client.open(spec).study
    started(client, found)
    for params in ({"lr": 1 / 3, "opt": 'say "c"'}, {"lr": 0.05, "opt": "a,b", "m": 4}):
        turn = found.record.turn
        number = found.record.next_number
        client.store.add_trials(found.id, turn, [Suggestion(params, Source.SUGGESTED, {"by": "grid"})])
        lease = client.store.lease(found.id, number, 1, worker="w", device="cpu", lease_s=30)
        assert isinstance(lease, Lease)
        token = lease.token
        client.store.report(token, [Report(1, 0.25), Report(2, 0.5, {"f1": 0.75})])
        client.store.finish_attempt(token, scored(0.5 + number, metrics={"f1": 0.75, "per_class": [1, 2]}))
    client.store.add_trials(found.id, found.record.turn, [Suggestion({"lr": 0.01, "opt": True}, Source.SUGGESTED)])
    return found


def test_csv_has_a_row_a_trial_and_a_column_a_parameter(celeriac: Celeriac, study: Study) -> None:
    ran = celeriac("export", "digits")
    assert (ran.code, ran.err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert [row["number"] for row in rows] == ["0", "1", "2"]
    assert [row["state"] for row in rows] == ["SCORED", "SCORED", "WAITING"]
    assert float(rows[0]["params.lr"]) == 1 / 3
    assert [row["params.opt"] for row in rows] == ['say "c"', "a,b", "true"]
    assert [row["params.m"] for row in rows] == ["", "4", ""]
    assert [row["score"] for row in rows] == ["0.5", "1.5", ""]
    assert json.loads(rows[0]["metrics.per_class"]) == [1, 2]
    names = list(rows[0])
    assert names.index("params.m") < names.index("metrics.f1")


def test_hold_out_scores_are_columns_of_the_csv_and_of_the_frame(
    celeriac: Celeriac, client: Client, study: Study
) -> None:
    ended = replace(scored(0.7), holdout=(0.1, 0.2), drift=3.5)
    lease = client.store.lease(study.id, 2, 1, worker="w", device="cpu", lease_s=30)
    assert isinstance(lease, Lease)
    client.store.finish_attempt(lease.token, ended)
    rows = list(csv.DictReader(io.StringIO(celeriac("export", "digits").out)))
    assert [(row["holdout.0"], row["holdout.1"]) for row in rows] == [("", ""), ("", ""), ("0.1", "0.2")]
    assert [row["drift"] for row in rows] == ["", "", "3.5"]
    assert list(rows[0])[-2:] == ["holdout.0", "holdout.1"]
    assert (row_of(study.trial(2))["holdout.1"], row_of(study.trial(2))["drift"]) == (0.2, 3.5)
    assert "holdout.0" not in row_of(study.trial(0))


def test_csv_of_the_reports(celeriac: Celeriac, study: Study) -> None:
    rows = list(csv.DictReader(io.StringIO(celeriac("export", "digits", "--reports").out)))
    told = [(row["trial"], row["step"], row["value"], row["metrics.f1"]) for row in rows]
    assert told == [
        ("0", "1", "0.25", ""),
        ("0", "2", "0.5", "0.75"),
        ("1", "1", "0.25", ""),
        ("1", "2", "0.5", "0.75"),
    ]


def test_json_is_all_there_is(celeriac: Celeriac, study: Study, tmp_path: Path) -> None:
    ran = celeriac("export", "digits", "--out", "all.json", "--reports")
    assert (ran.code, ran.out, ran.err) == (0, "", "3 trials of digits in all.json\n")
    found = json.loads((tmp_path / "all.json").read_text())
    assert found["study"]["spec"]["space"] == SPACE
    assert [each["number"] for each in found["trials"]] == [0, 1, 2]
    assert found["trials"][0]["why"] == {"by": "grid"}
    assert [each["step"] for each in found["trials"][1]["reports"]] == [1, 2]
    assert len(found["trials"][1]["runs"]) == 1
    assert "token" not in found["trials"][1]["runs"][0]
    assert "reports" not in json.loads(celeriac("export", "digits", "--format", "json").out)["trials"][0]


def test_a_wrong_file_or_study_leaves_nothing_behind(celeriac: Celeriac, study: Study, tmp_path: Path) -> None:
    assert celeriac("export", "digits", "--out", "no/such/place.csv").code == 2
    assert celeriac("export", "digts", "--out", "new.csv").code == 2
    assert not (tmp_path / "new.csv").exists()


def test_a_study_without_trials_is_an_empty_table(celeriac: Celeriac, client: Client) -> None:
    client.open(SPEC)
    assert (celeriac("export", "digits").out, celeriac("export", "digits", "--reports").out) == ("", "")
    assert json.loads(celeriac("export", "digits", "--format", "json").out)["trials"] == []


def test_optuna_opens_what_is_exported(celeriac: Celeriac, study: Study, tmp_path: Path) -> None:
    ran = celeriac("export", "digits", "--to", "optuna", "--out", str(tmp_path / "all.db"))
    assert (ran.code, ran.err) == (0, f"2 trials of digits in {tmp_path / 'all.db'}\n")
    found = optuna.load_study(study_name="digits", storage=f"sqlite:///{tmp_path / 'all.db'}")
    assert [each.state.name for each in found.trials] == ["COMPLETE"] * 2
    assert [each.value for each in found.trials] == [0.5, 1.5]
    assert found.best_params == {"lr": 0.05, "opt": "a,b", "m": 4}
    assert found.trials[0].intermediate_values == {1: 0.25, 2: 0.5}
    assert found.trials[0].user_attrs["per_class"] == [1, 2]
    assert found.trials[0].datetime_complete is not None
    again = celeriac("export", "digits", "--to", "optuna", "--out", str(tmp_path / "all.db"))
    assert again.code != 0
    assert "has a study digits already: name another file" in again.err


def test_tensorboard_reads_what_is_exported(celeriac: Celeriac, study: Study, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra `export`")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert celeriac("export", "digits", "--to", "tensorboard", "--out", str(tmp_path / "runs")).code == 0
    assert sorted(each.name for each in (tmp_path / "runs").iterdir()) == ["trial-00000", "trial-00001"]
    read = EventAccumulator(str(tmp_path / "runs" / "trial-00000")).Reload()
    metric = study.record.metric
    assert [(each.step, each.value) for each in read.Scalars(f"{metric} (reported)")] == [(1, 0.25), (2, 0.5)]
    assert [each.value for each in read.Scalars(metric)] == [0.5]


def test_a_tool_whose_library_is_not_here_names_the_extra(
    celeriac: Celeriac, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    ran = celeriac("export", "digits", "--to", "parquet")
    assert ran.code != 0
    assert "pyarrow is not installed here: pip install 'celeriac[export]'" in ran.err
