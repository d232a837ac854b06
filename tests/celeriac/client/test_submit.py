"""The Python API on a real Postgres and Redis: what a submit writes, refuses and says."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from celeriac.client import Client
from celeriac.client.client import no_service
from celeriac.client.embedded import attached, ensure_service
from celeriac.domain.errors import DuplicateStudy, SpecInvalid, StackError, StoreUnavailable, UnknownStudy
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import Device, StudyState
from celeriac.runtime.broker import DRIVE_QUEUE
from celeriac.runtime.fingerprint import fingerprint
from celeriac.runtime.settings import Settings
from tests.celeriac.cli.played import CODE, SPEC, STUDY_FILE, played


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
