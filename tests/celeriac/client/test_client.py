"""The Python API on a real Postgres and Redis: what a submit writes, refuses and says; schedules; waiting;
retention.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac import tune
from celeriac.client import Client, Study
from celeriac.client.client import first_due_on, no_service
from celeriac.client.embedded import attached, ensure_service
from celeriac.client.progress import Progress, why_waiting
from celeriac.client.retention import Kinds, old_studies, prune
from celeriac.client.study import yaml_of
from celeriac.domain.errors import (
    DuplicateStudy,
    IllegalTransition,
    SpecInvalid,
    StackError,
    StoreUnavailable,
    StudyPaused,
    UnknownStudy,
    UnknownTrial,
)
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import Champion, Checkpoint, Device, Report, Source, StudyState, Suggestion, TrialState
from celeriac.domain.study_file import plain_scalar
from celeriac.runtime.broker import DRIVE_QUEUE
from celeriac.runtime.fingerprint import fingerprint
from celeriac.runtime.settings import Settings
from tests.celeriac.cli.played import CODE, NEW_YEAR, PLAN, SPEC, STUDY_FILE, closed, leased, played, started
from tests.celeriac.store.scenes import failed, scored


@pytest.fixture
def client(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client in a directory with an objective."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(CODE)
    with Client(settings) as opened:
        yield opened


# -- submit ---------------------------------------------------------------------------------------------------------


def test_a_sampler_that_lacks_its_library_is_a_note_in_a_fleet_and_an_error_on_one_machine(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def there(module: str) -> Any:
        return None if module == "botorch" else find_spec(module)

    monkeypatch.setattr("celeriac.domain.sampler_names.find_spec", there)
    [note] = client.open({**SPEC, "sampler": "botorch"}).notes
    assert "needs botorch, not installed here: `pip install 'celeriac[botorch]'`" in note
    assert "where the coordinator runs" in note
    client.settings.stack_file.parent.mkdir(parents=True)
    client.settings.stack_file.write_text("{}")
    with pytest.raises(SpecInvalid, match="here: sampler: the sampler botorch needs botorch, not installed here"):
        client.open({**SPEC, "study": "here", "sampler": "botorch"})


def test_a_class_that_optuna_does_not_have_is_refused(client: Client) -> None:
    with pytest.raises(SpecInvalid, match="has no TPESampelr that can be used; did you mean 'TPESampler'"):
        client.submit({**SPEC, "sampler": "optuna:TPESampelr"})
    assert client.open({**SPEC, "sampler": "optuna:TPESampler"}).notes == ()


def test_submit_writes_the_row_and_wakes_the_coordinator(client: Client, tmp_path: Path) -> None:
    study = client.submit(SPEC)
    record = study.record
    assert (record.name, record.state, record.goal) == ("digits", StudyState.OPEN, "maximize")
    assert record.code_root == "."  # relative to the code root, which every host has at a place of its own
    assert record.fingerprint == fingerprint(tmp_path)
    assert client.tickets.waiting(DRIVE_QUEUE) == 1


def test_the_same_again_attaches_and_another_spec_is_refused_with_the_difference(client: Client) -> None:
    first = client.submit(SPEC)
    again = client.open(SPEC)
    assert (again.attached, again.study.id) == (True, first.id)
    with pytest.raises(DuplicateStudy, match="--name") as caught:
        client.submit({**SPEC, "budget": {"trials": 9}})
    assert caught.value.difference == ["budget.trials: 3 -> 9"]
    assert client.submit({**SPEC, "budget": {"trials": 9}}, name="digits-9").id != first.id


def test_the_same_spec_in_another_directory_is_another_study(client: Client, tmp_path: Path) -> None:
    client.submit(SPEC)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "train.py").write_text(CODE)
    (tmp_path / "other" / "study.yaml").write_text(STUDY_FILE)
    with pytest.raises(DuplicateStudy) as caught:
        client.submit(tmp_path / "other" / "study.yaml")
    assert caught.value.difference == ["code root: . -> other"]


def test_code_that_changed_since_the_submit_is_told(client: Client, tmp_path: Path) -> None:
    client.submit(SPEC)
    (tmp_path / "train.py").write_text(CODE + "\n# changed\n")
    with pytest.warns(UserWarning, match="has changed since digits was submitted"):
        client.submit(SPEC)


@pytest.mark.parametrize(
    ("objective", "code", "said"),
    [
        ("trian:objective", CODE, "no module 'trian' below .*; did you mean 'train'"),
        ("train:objectiv", CODE, "has no function 'objectiv'; did you mean 'objective'"),
        ("train:objective", "X = 1\n", "has no function 'objective'; it defines no function"),
        ("train:objective", "def objective(trial:\n", "is no Python: .* on line 1"),
        ("train:objective", "async def objective(trial): ...\n", "is async"),
        ("pkg.deep:objective", CODE, "no module 'pkg.deep'"),
    ],
)
def test_an_objective_that_is_not_there_creates_nothing(
    client: Client, tmp_path: Path, objective: str, code: str, said: str
) -> None:
    (tmp_path / "train.py").write_text(code)
    with pytest.raises(SpecInvalid, match=said):
        client.submit({**SPEC, "objective": objective})
    assert client.studies() == []


@pytest.mark.parametrize(
    "code",
    [
        "from elsewhere import objective\n",
        "from elsewhere import *\n",
        "import elsewhere as objective\n",
        "objective = make()\n",
        "if True:\n    def objective(trial): ...\n",
        "try:\n    import x\nexcept ImportError:\n    def objective(trial): ...\n",
    ],
)
def test_an_objective_may_come_into_the_module_in_any_way(client: Client, tmp_path: Path, code: str) -> None:
    (tmp_path / "train.py").write_text(code)
    assert client.submit(SPEC).state is StudyState.OPEN


def test_the_objective_is_not_run_at_submit(client: Client, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n{CODE}")
    client.submit(SPEC)
    assert not (tmp_path / "ran").exists()


def test_code_outside_of_the_code_root_is_refused(client: Client, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    narrow = Client(replace(client.settings, code_root=inner), store=client.store)
    with pytest.raises(SpecInvalid, match="not below the code root"):
        narrow.submit(SPEC)
    with pytest.raises(SpecInvalid, match="is no directory"):
        client.submit({**SPEC, "code": "nowhere"})


def test_an_objective_that_is_a_link_out_of_its_directory_is_refused(client: Client, tmp_path: Path) -> None:
    code = tmp_path / "linked"
    code.mkdir()
    (code / "inner.py").write_text(CODE)
    (code / "train.py").symlink_to(code / "inner.py")
    assert client.open({**SPEC, "study": "inside", "code": "linked"}).notes == ()
    (code / "train.py").unlink()
    (code / "train.py").symlink_to(tmp_path / "train.py")
    with pytest.raises(SpecInvalid, match=r"is a link to .*, outside the code root .*: copy the file there"):
        client.submit({**SPEC, "study": "outside", "code": "linked"})


def test_whoever_lets_a_study_go_on_means_the_code_that_is_there(client: Client, tmp_path: Path) -> None:
    study = client.submit(SPEC)
    before = study.record.fingerprint
    client.store.move_study(study.id, StudyEvent.START, "started")
    study.pause()
    study.resume()
    assert (study.took_code, study.record.fingerprint) == (False, before)
    study.pause()
    (tmp_path / "train.py").write_text(CODE + "# mended\n")
    assert study.resume().fingerprint == fingerprint(tmp_path) != before
    assert (study.took_code, study.record.state) == (True, StudyState.RUNNING)
    (tmp_path / "train.py").unlink()
    study.stop()
    study.reopen()
    # There is none now: nothing to take.
    assert (study.took_code, study.record.fingerprint == before) == (False, False)


def test_the_same_spec_with_other_code_is_said_and_a_closed_study_s_result_is_that_of_the_old(
    client: Client, tmp_path: Path
) -> None:
    study = client.submit(SPEC)
    client.store.move_study(study.id, StudyEvent.START, "started")
    (tmp_path / "train.py").write_text(CODE + "# other\n")
    (note,) = client.open(SPEC).notes
    assert "from now on run the new code, and are ranked with those before" in note
    assert study.record.fingerprint == fingerprint(tmp_path)
    assert client.open(SPEC).notes == ()
    study.stop()
    (tmp_path / "train.py").write_text(CODE + "# yet another\n")
    (note,) = client.open(SPEC).notes
    assert "this is the result of the code before; run the new one under another name (`--name`)" in note
    assert study.record.fingerprint != fingerprint(tmp_path)


def test_without_redis_the_study_is_open_and_the_note_says_what_happens(client: Client, tmp_path: Path) -> None:
    deaf = Client(replace(client.settings, broker_url=f"redis+socket://{tmp_path}/none.sock"), store=client.store)
    submission = deaf.open(SPEC)
    assert "next tick" in submission.notes[0]
    assert submission.study.state is StudyState.OPEN


def test_hosts_with_other_code_are_named(client: Client, tmp_path: Path) -> None:
    for host, code in (("same", fingerprint(tmp_path)), ("stale", "0000000000000000"), ("silent", "")):
        device = Device("cpu", host, "cpu", 1, {}, (f"cpu0.s0@{host}",), code, "ok", client.store.now())
        client.store.put_devices(host, [device])
    (note,) = client.open(SPEC).notes
    assert "host stale has other code" in note
    assert "every 30 s" in note  # what it says may be that old: no false alarm for a change just made


def test_no_known_service_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="celeriac up") as unknown:
        Client(Settings.from_env({}, home=tmp_path))
    assert "are kept" not in str(unknown.value)
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("17")
    told = str(no_service(Settings.from_env({}, home=tmp_path)))
    assert "its studies are kept, and `celeriac up` brings them back" in told


# -- a study --------------------------------------------------------------------------------------------------------


def test_best_trials_and_logs(client: Client) -> None:
    assert client.submit(SPEC).best is None
    study = client.study("digits")
    played(client, study, 0.5, 0.9, 0.7)
    assert study.best is not None
    assert (study.best.number, study.best.params, study.best.metrics) == (1, {"lr": 0.02}, {"test": 0.45})
    frame = study.trials()
    assert list(frame["score"]) == [0.5, 0.9, 0.7]
    assert list(frame["params.lr"]) == [0.01, 0.02, 0.03]
    assert list(frame["metrics.test"]) == [0.25, 0.45, 0.35]
    assert study.logs(1) == "trial 1\n"
    with pytest.raises(UnknownStudy, match="digits"):
        client.study("digit")


def test_trials_without_pandas_are_dicts(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    study = client.submit(SPEC)
    played(client, study, 0.5)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (row,) = study.trials()
    assert (row["number"], row["state"], row["score"]) == (0, "SCORED", 0.5)


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


# -- schedules ------------------------------------------------------------------------------------------------------


def test_a_schedule_file_is_no_study_and_a_study_file_no_schedule(client: Client) -> None:
    with pytest.raises(SpecInvalid, match="celeriac schedule add"):
        client.submit({**SPEC, **PLAN})
    with pytest.raises(SpecInvalid, match="has no `schedule:`"):
        client.add_schedule(SPEC)
    assert client.studies() == []


def test_a_schedule_is_replaced_only_when_asked_to_and_stays_paused(client: Client) -> None:
    row = client.add_schedule({**SPEC, **PLAN})
    assert row.slices == ({"r": "eu"}, {"r": "us"})
    assert row.next_due_at.astimezone(UTC) > client.store.now()
    client.store.pause_schedule("nightly", True)
    assert client.add_schedule({**SPEC, **PLAN}).next_due_at == row.next_due_at
    other = {**SPEC, **PLAN, "budget": {"trials": 5}}
    with pytest.raises(DuplicateStudy, match="--replace") as caught:
        client.add_schedule(other)
    assert caught.value.difference == ["budget.trials: 3 -> 5"]
    replaced = client.add_schedule(other, replace_it=True)
    assert (replaced.paused, replaced.spec["budget"]["trials"]) == (True, 5)


def test_fire_opens_each_slice_once_for_a_due_time(client: Client) -> None:
    row = client.add_schedule({**SPEC, **PLAN})
    due_at = first_due_on(row, datetime(2013, 10, 1))  # noqa: DTZ001 - a bare date, as on the command line
    assert due_at == datetime(2013, 10, 1, 0, 0, tzinfo=UTC)
    studies = client.fire("nightly", due_at)
    assert [study.name for study in studies] == ["nightly/r=eu/2013-10-01", "nightly/r=us/2013-10-01"]
    assert studies[0].record.slice == {"r": "eu"}
    assert client.fire("nightly", due_at) == []
    assert client.tickets.waiting(DRIVE_QUEUE) == 2


# -- progress -------------------------------------------------------------------------------------------------------


def test_a_study_that_no_worker_can_run_now_is_told_when_it_is_opened(client: Client) -> None:
    wants_gpu = {**SPEC, "resources": {"gpus": 1}}
    assert client.open({**wants_gpu, "study": "before-any-worker"}).notes == ()
    cpu = Device("cpu", "here", "cpu", 1, {}, ("cpu0.s0@here",), "", "ok", client.store.now())
    client.store.put_devices("here", [cpu])
    assert client.open({**SPEC, "study": "cpu"}).notes == ()
    (note,) = client.open({**wants_gpu, "study": "gpu"}).notes
    assert "no worker with a GPU is alive" in note
    client.store.put_devices("there", [replace(cpu, uuid="GPU-1", host="there", kind="H200")])
    assert client.open({**wants_gpu, "study": "gpu-there"}).notes == ()


def progress_of(client: Client, study: Study, *devices: Device) -> Progress:
    return Progress(study.record, (), devices, datetime.now(UTC))


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


# -- files ----------------------------------------------------------------------------------------------------------


def with_checkpoints(client: Client, study: Study, *paths: str) -> None:
    """Two trials that were scored; the first wrote these checkpoints."""
    started(client, study)
    lease = leased(client, study)
    kept = [
        Report(step, 0.5, checkpoint=Checkpoint(study.id, lease.number, 1, step, path, "0" * 64, 10))
        for step, path in enumerate(paths)
    ]
    client.store.report(lease.token, kept)
    client.store.finish_attempt(lease.token, scored(0.5, log_tail="trial 0\n"))
    client.store.finish_attempt(leased(client, study).token, scored(0.9, log_tail="trial 1\n"))


def test_pruning_deletes_old_files_but_nothing_of_a_champion_and_nothing_outside(
    client: Client, tmp_path: Path
) -> None:
    client.add_schedule({**SPEC, **PLAN})
    night, other = client.fire("nightly", NEW_YEAR)
    with_checkpoints(client, night, "n/a.pt", "../../outside.pt", "n/gone.pt")
    with_checkpoints(client, other, "o/b.pt")
    for study in (night, other):
        closed(client, study)
    record = night.record
    client.store.record_champion(
        Champion("nightly", record.slice, record.id, record.name, 1, {"lr": 0.02}, 0.9, 0.5, {}, True, "better")
    )
    logs, checkpoints = client.settings.log_root, client.settings.checkpoint_root
    files = [logs / str(study.id) / f"{number}-1.log" for study in (night, other) for number in (0, 1)]
    written, outside = [checkpoints / "n" / "a.pt", checkpoints / "o" / "b.pt"], tmp_path / "outside.pt"
    for path in (*files, *written, outside):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 10)
    long_from_now = client.store.now() + timedelta(days=1)
    assert {study.name for study in old_studies(client.store, long_from_now)} == {night.name, other.name}
    assert list(old_studies(client.store, long_from_now - timedelta(days=2))) == []
    told: list[str] = []
    total = prune(client.store, client.settings, long_from_now, Kinds(), lambda study, _: told.append(study.name))
    assert sorted(told) == sorted([night.name, other.name])
    assert (total.files, total.size_bytes, total.checkpoints, total.missing) == (5, 50, 3, 1)
    assert [path.exists() for path in files] == [False, True, False, False]
    assert not any(path.parent.exists() for path in written)
    assert checkpoints.exists()
    assert outside.exists()
    assert "outside.pt is not below" in total.refused[0]
    assert [each.path for each in client.store.checkpoints(night.id, 0)] == ["../../outside.pt"]
    again = prune(client.store, client.settings, long_from_now, Kinds(), lambda *_: None)
    assert (again.files, again.checkpoints, len(again.refused)) == (0, 0, 1)


def test_pruning_that_was_interrupted_goes_on_and_forgets_no_file(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = client.open(SPEC).study
    with_checkpoints(client, study, "a.pt", "b.pt")
    closed(client, study)
    root = client.settings.checkpoint_root
    later = client.store.now() + timedelta(days=1)
    away = prune(client.store, client.settings, later, Kinds(), lambda *_: None)
    assert (away.checkpoints, "is not on this host" in away.refused[0]) == (0, True)
    root.mkdir(parents=True)
    for name in ("a.pt", "b.pt"):
        (root / name).write_text("x")

    def cut_off(*_: object) -> int:
        raise StoreUnavailable("cut off between the files and their rows")

    with monkeypatch.context() as patch:
        patch.setattr(client.store, "prune_checkpoints", cut_off)
        with pytest.raises(StoreUnavailable):
            prune(client.store, client.settings, later, Kinds(), lambda *_: None)
    assert list(root.iterdir()) == []
    total = prune(client.store, client.settings, later, Kinds(), lambda *_: None)
    assert (total.checkpoints, total.missing) == (2, 2)
    assert client.store.checkpoints(study.id, 0) == []


def test_a_home_that_cannot_be_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings.from_env({}, home=tmp_path / "file" / "home")
    with pytest.raises(StackError, match="choose another with --home"), attached(settings):
        pytest.fail("attached to a home that cannot be")


def test_a_service_that_was_named_and_does_not_answer_is_not_replaced(settings: Settings, tmp_path: Path) -> None:
    dead = replace(settings, database_url=f"postgresql+psycopg://x@/x?host={tmp_path}")
    environment = {"CELERIAC_DATABASE_URL": dead.database_url, "CELERIAC_BROKER_URL": dead.broker_url}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with pytest.raises(StoreUnavailable):
            ensure_service(dead, say=lambda line: pytest.fail(f"it started something: {line}"))


# -- tune -----------------------------------------------------------------------------------------------------------


def module_level(trial: object) -> float:
    return 1.0


def test_tune_refuses_what_workers_cannot_import(tmp_path: Path) -> None:
    space = SPEC["space"]

    def local(trial: object) -> float:
        return 1.0

    with pytest.raises(SpecInvalid, match="no module-level function"):
        tune(local, space, home=tmp_path)
    with pytest.raises(SpecInvalid, match="no module-level function"):
        tune(lambda trial: 1.0, space, home=tmp_path)
    made = FunctionType(module_level.__code__, {"__name__": "__main__"}, "module_level")
    with pytest.raises(SpecInvalid, match="to a file of its own"):
        tune(made, space, home=tmp_path)
    assert not (tmp_path / "run").exists()


def test_tune_submits_and_waits(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notebook_train.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CELERIAC_DATABASE_URL", client.settings.database_url)
    monkeypatch.setenv("CELERIAC_BROKER_URL", client.settings.broker_url)
    import notebook_train  # type: ignore[import-not-found]  # written just above

    def ask() -> Study:
        return tune(notebook_train.objective, SPEC["space"], trials=3, home=tmp_path / "home", timeout=0.01)

    with pytest.raises(TimeoutError):
        ask()
    (study,) = client.studies()
    assert study.record.spec["objective"] == "notebook_train:objective"
    assert study.record.code_root == str(tmp_path)
    played(client, study, 0.5)
    closed(client, study)
    assert ask().id == study.id


# -- YAML to paste --------------------------------------------------------------------------------------------------


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


# -- more of a study, or no more of it ------------------------------------------------------------------------------


def test_the_same_file_with_a_larger_budget_is_told_how_to_extend(client: Client) -> None:
    study = client.submit(SPEC)
    with pytest.raises(DuplicateStudy, match="`celeriac extend digits --trials 5 --wall 60` gives it that"):
        client.submit({**SPEC, "budget": {"trials": 5, "wall": "1m"}})
    assert study.extend(5, wall="1m").spec["budget"] == {"trials": 5, "wall": 60.0}
    assert client.open({**SPEC, "budget": {"trials": 5, "wall": "1m"}}).attached
    with pytest.raises(DuplicateStudy, match="has a larger budget by now"):
        client.submit(SPEC)
    with pytest.raises(DuplicateStudy, match="choose another name") as caught:
        client.submit({**SPEC, "budget": {"trials": 9}, "seed": 3})
    assert "extend" not in str(caught.value)


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


def test_a_study_is_deleted_with_its_files_and_nothing_else(client: Client) -> None:
    study, other = client.submit(SPEC), client.submit({**SPEC, "study": "other"})
    roots = (client.settings.checkpoint_root, client.settings.log_root)
    for each in (study, other):
        for root in roots:
            (root / str(each.id) / "0").mkdir(parents=True)
            (root / str(each.id) / "0" / "1.pt").write_text("weights")
    (roots[0] / str(study.id) / "0" / "2.pt.tmp").write_text("half")
    with pytest.raises(IllegalTransition, match="`celeriac stop digits` ends it first"):
        study.delete()
    assert (roots[0] / str(study.id)).exists()
    study.stop()
    assert study.delete().count == 3
    assert not any((root / str(study.id)).exists() for root in roots)
    assert all((root / str(other.id) / "0" / "1.pt").exists() for root in roots)
    assert client.submit(SPEC).id != study.id
