"""A study as its users hold it: waiting, its verbs, how far it is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.client import Client, Study
from celeriac.client.progress import Progress, why_waiting
from celeriac.client.study import yaml_of
from celeriac.domain.errors import DuplicateStudy, IllegalTransition, SpecInvalid, StudyPaused, UnknownTrial
from celeriac.domain.records import Device, Source, StudyState, Suggestion, TrialState
from celeriac.domain.study_file import plain_scalar
from tests.celeriac.cli.played import SPEC, closed, leased, played
from tests.celeriac.store.scenes import failed


def progress_of(client: Client, study: Study, *devices: Device) -> Progress:
    return Progress(study.record, (), devices, datetime.now(UTC))


def test_wait_returns_at_the_end_and_says_a_pause_or_a_timeout(client: Client) -> None:
    study = client.submit(SPEC)
    with pytest.raises(TimeoutError, match="it goes on"):
        study.wait(timeout=0.01)
    played(client, study, 0.5)
    study.pause("too hot")
    with pytest.raises(StudyPaused, match="too hot"):
        study.wait()
    study.resume()
    closed(client, study)
    assert study.wait().state is StudyState.DONE


def test_stop_and_cancel_are_the_users_words(client: Client) -> None:
    study = client.submit(SPEC)
    played(client, study)
    client.store.add_trials(study.id, study.record.turn, [Suggestion({"lr": 0.1}, Source.SUGGESTED)] * 2)
    assert study.cancel(0, "wrong data").state is TrialState.CANCELLED
    record = study.stop("enough")
    assert (record.state, record.reason, record.counts.cancelled) == (StudyState.STOPPED, "enough", 2)


def test_why_a_study_waits(client: Client) -> None:
    cpu = Device("cpu", "here", "cpu", 1, {}, ("cpu0.s0@here",), "", "ok", client.store.now())
    gpu = replace(cpu, uuid="GPU-1", kind="H200", slots=("gpu0.s0@here",))
    study = client.submit({**SPEC, "resources": {"gpus": 1}})
    assert "coordinator has not taken it" in why_waiting(progress_of(client, study))
    late = replace(progress_of(client, study), now=datetime.now(UTC) + timedelta(minutes=1))
    assert "celeriac doctor" in why_waiting(late)
    played(client, study)
    assert "no worker with a GPU is alive" in why_waiting(progress_of(client, study))
    assert "gpus: 0" in why_waiting(progress_of(client, study, cpu))
    assert "making suggestions" in why_waiting(progress_of(client, study, gpu))
    study.pause("too hot")
    assert why_waiting(progress_of(client, study, gpu)) == "paused: too hot"
    study.stop()
    assert why_waiting(progress_of(client, study)) == ""


def test_the_time_left_follows_from_the_rows(client: Client) -> None:
    study = client.submit({**SPEC, "budget": {"trials": 10, "wall": "1h"}})
    played(client, study, 0.1, 0.2, 0.3, 0.4)  # two seconds each, by the scene
    progress = progress_of(client, study)
    running = replace(progress.study, counts=replace(progress.study.counts, running=2))
    assert replace(progress, study=running).left_s == pytest.approx((10 - 4) * 2.0 / 2)
    assert progress.left_s == pytest.approx(3600, abs=60)


@given(
    st.one_of(
        st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.booleans(), st.none(), st.text(max_size=20)
    )
)
def test_pasted_parameters_read_back_as_they_were(value: Any) -> None:
    import json

    text = yaml_of({"x": value}).removeprefix("x: ").removesuffix("\n")
    read = json.loads(text) if text.startswith('"') else plain_scalar(text)
    assert read == value
    assert isinstance(read, bool) == isinstance(value, bool)


def test_pasted_parameters_are_numbers_and_texts_to_older_readers_too() -> None:
    assert yaml_of({"lr": 1e-5, "a": "on", "b": "adam", "c": 1e22}) == 'lr: 1.0e-05\na: "on"\nb: adam\nc: 1.0e+22\n'


def test_the_same_file_with_a_larger_budget_is_told_how_to_extend(client: Client) -> None:
    study = client.submit(SPEC)
    with pytest.raises(DuplicateStudy, match="`celeriac extend digits --trials 5 --wall 60` gives it that"):
        client.submit({**SPEC, "budget": {"trials": 5, "wall": "1m"}})
    assert study.extend(5, wall="1m").spec["budget"] == {"trials": 5, "wall": 60.0}
    assert client.open({**SPEC, "budget": {"trials": 5, "wall": "1m"}}).attached
    again = client.open(SPEC)
    assert (again.attached, again.study.id, again.study.spec.budget.trials) == (True, study.id, 5)
    assert "digits was given another budget since, and keeps it: 5 trials and 60 s" in again.notes
    with pytest.raises(DuplicateStudy, match="--wall 120` gives it that"):
        client.open({**SPEC, "budget": {"trials": 4, "wall": "2m"}})
    with pytest.raises(DuplicateStudy, match="choose another name") as caught:
        client.submit({**SPEC, "budget": {"trials": 9}, "seed": 3})
    assert "extend" not in str(caught.value)


def test_a_notebook_shows_a_study_and_its_best_trial_as_tables(client: Client) -> None:
    study = client.submit(SPEC)
    assert "<td>0 of 3 trials</td>" in study._repr_html_()
    played(client, study, 0.5, 0.9)
    shown = study._repr_html_()
    assert "<th>best accuracy</th><td>0.9</td>" in shown
    assert "<th>lr</th><td>0.02</td>" in shown
    best = study.best
    assert best is not None
    hostile = replace(best, detail="<script>", params={"a": "<b>"})
    assert "&lt;script&gt;" in hostile._repr_html_()
    assert "<th>a</th><td>&lt;b&gt;</td>" in hostile._repr_html_()


def test_a_study_is_extended_to_a_total_or_by_more(client: Client) -> None:
    study = client.submit(SPEC)
    assert study.extend("+2").spec["budget"] == {"trials": 5}
    assert study.extend(wall="2h").spec["budget"] == {"trials": 5, "wall": 7200.0}
    for same in ({"trials": 5}, {}):
        with pytest.raises(IllegalTransition, match="already"):
            study.extend(**same)  # type: ignore[arg-type]
    with pytest.raises(IllegalTransition, match="it can only be given more, not 4"):
        study.extend(4)
    for wrong in ("many", 0, "+-3", 2.5):
        with pytest.raises(SpecInvalid, match=r"budget\.trials"):
            study.extend(wrong)  # type: ignore[arg-type]


def test_a_study_that_used_its_budget_is_not_reopened_but_extended_or_retried(client: Client) -> None:
    study = client.submit(SPEC)
    played(client, study, 0.1, 0.2)
    lease = leased(client, study)
    client.store.finish_attempt(lease.token, failed())
    closed(client, study)
    with pytest.raises(IllegalTransition, match=r"finished all its 3 trials: `celeriac extend digits --trials N`"):
        study.reopen()
    assert [each.number for each in study.retry()] == [2]
    assert (study.state, study.record.counts.finished) == (StudyState.RUNNING, 2)
    with pytest.raises(UnknownTrial, match="study digits has no trial 77"):
        study.retry([77])
    study.stop()
    assert study.reopen().state is StudyState.RUNNING
