"""The command and the Python client over the API, as on a laptop: an address and a token, no database, no broker."""

import json
import re
from pathlib import Path

import pytest

import celeriac
from celeriac.client import Client
from celeriac.client.remote.client import RemoteClient, code_there
from celeriac.client.remote.decoding import record_from
from celeriac.client.service import Service
from celeriac.client.study import Study
from celeriac.domain.errors import CallerError, DuplicateStudy, SpecInvalid, StoreUnavailable, UnknownStudy
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import Champion, Device, Fault, Firing, Schedule, Scope, StudyState, TrialRecord
from celeriac.report.plain import plain
from celeriac.runtime.settings import Settings
from celeriac.store import WebStore
from celeriac.store.tokens import make_token
from tests.celeriac.cli.played import PLAN, SPEC, leased, played, started
from tests.celeriac.store.scenes import device, failed
from tests.celeriac.web.conftest import Run


def test_the_command_does_its_work_over_the_api(laptop: str, run: Run, local: Client, tmp_path: Path) -> None:
    code, out, err = run("submit", "study.yaml")
    assert (code, out) == (0, "digits\n"), err
    study = local.study("digits")
    started(local, study)
    local.store.finish_attempt(leased(local, study).token, failed(Fault.USER_BUG, traceback="boom", log_tail="told\n"))
    assert run("logs", "digits", "0")[1] == "told\n"
    assert "user_bug" in run("trials", "digits")[1]
    assert "will run once more (0)" in run("retry", "digits", "0")[1]
    assert "is CANCELLED" in run("cancel", "digits", "0")[1]
    assert "trial 0 of digits: CANCELLED" in run("why", "digits", "0")[1]
    for verb, said in (
        ("pause", "PAUSED"),
        ("resume", "RUNNING"),
        ("extend", "budget of 5 trials"),
        ("stop", "STOPPED"),
    ):
        more = ["--trials", "5"] if verb == "extend" else []
        assert said in run(verb, "digits", *more)[1], verb
    assert "is RUNNING" in run("reopen", "digits")[1]
    assert "digits" in run("status")[1]
    form = json.loads(run("status", "digits", "--json")[1])
    assert (form["name"], form["counts"]["cancelled"]) == ("digits", 1)
    assert run("best", "digits")[0] == 1  # no trial is scored yet
    assert run("status", "nobody")[0] == 2
    assert not (tmp_path / "laptop" / "run").exists()


def test_a_study_is_watched_to_its_end(laptop: str, run: Run, local: Client) -> None:
    assert run("submit", "study.yaml")[0] == 0
    study = local.study("digits")
    played(local, study, 0.5, 0.75, 0.6)
    local.store.move_study(study.id, StudyEvent.FINISH, "all 3 trials are finished", turn=study.record.turn)
    code, out, _ = run("run", "study.yaml")
    assert code == 0
    assert "Best: trial 1 of 3, accuracy 0.75" in out
    assert json.loads(run("best", "digits", "--json")[1])["gain"] == 0.25


def test_schedules_champions_and_devices_over_the_api(
    laptop: str, run: Run, local: Client, web_store: WebStore, tmp_path: Path
) -> None:
    (tmp_path / "plan.yaml").write_text(json.dumps({**SPEC, **PLAN}))
    assert "2 slices" in run("schedule", "add", "plan.yaml")[1]
    assert "nightly" in run("schedule", "list")[1]
    assert "tester" in run("schedule", "history", "nightly")[1]
    name = run("schedule", "fire", "nightly", "--slice", "r=eu")[1].strip()
    played(local, local.study(name), 0.5, 0.7)
    for trial in ("0", "1"):
        _code, out, err = run("promote", name, trial)
        assert "is champion" in out, err
    assert "trial 1 of" in run("champion", "nightly", "r=eu")[1]
    assert "trial 0 of" in run("rollback", "nightly", "r=eu")[1]
    assert "r=eu" in run("champions")[1]
    assert run("approve", "nightly", "r=eu")[0] == 2
    assert name.rpartition("-")[0].split("-")[0] in run("morning")[1]
    assert "paused" in run("schedule", "pause", "nightly")[1]
    web_store.put_devices("here", [device("gpu-1", kind="H100")])
    assert "H100" in run("workers")[1]
    assert "taken out" in run("drain", "here")[1]
    assert web_store.drained("here") == [""]
    assert "given back" in run("undrain", "here")[1]


def test_what_needs_the_database_says_so_by_name(laptop: str, run: Run) -> None:
    code, _, err = run("prune", "--older-than", "1d")
    assert code == 2
    assert re.search(r"`celeriac prune` cannot be done over the API \(http.*CELERIAC_DATABASE_URL", err)
    for words in (("token", "list"), ("study", "replay", "nightly", "--gate", "pairs=12")):
        code, _, err = run(*words)
        assert (code, f"`celeriac {' '.join(words[:2])}` cannot be done over the API" in err) == (2, True), err
    client = celeriac.Client()
    with pytest.raises(CallerError, match="`create_study` of the store cannot be asked over the API"):
        client.store.create_study  # noqa: B018


def test_a_login_is_kept_and_used(laptop: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    token = Settings.from_env().token
    monkeypatch.delenv("CELERIAC_TOKEN")
    assert json.loads(run("doctor", "--json")[1])[0]["verdict"] == "fail"
    code, _, err = run("status")
    assert (code, "celeriac login" in err) == (2, True)
    monkeypatch.setattr("sys.stdin", io.StringIO("clr_wrong\n"))
    assert run("login", laptop)[0] == 2
    monkeypatch.setattr("sys.stdin", io.StringIO(token + "\n"))
    assert "as tester" in run("login", laptop)[1]
    kept = tmp_path / "laptop" / "logins.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert run("status")[0] == 0
    assert f"{laptop} answers to tester" in json.loads(run("doctor", "--json")[1])[0]["told"]
    assert run("logout", laptop)[0] == 0
    assert run("status")[0] == 2


def test_the_python_client_over_the_api(laptop: str, local: Client) -> None:
    client: object = celeriac.Client()
    assert isinstance(client, RemoteClient)
    study = client.submit(SPEC)
    with pytest.raises(DuplicateStudy) as caught:
        client.submit({**SPEC, "budget": {"trials": 4}})
    assert caught.value.difference == ["budget.trials: 3 -> 4"]
    with pytest.raises(SpecInvalid, match="no module 'nowhere'"):
        client.submit({**SPEC, "study": "other", "objective": "nowhere:objective"})
    with pytest.raises(UnknownStudy):
        client.study("nobody")
    played(local, local.study("digits"), 0.5, 0.75)
    same = local.study("digits")
    assert study.record.counts == same.record.counts
    assert list(study.each_trial()) == [
        record_from(TrialRecord, plain(each)) for each in local.store.trials(same.id, limit=10)
    ]
    assert study.best == study.trial(1)
    with pytest.raises(TimeoutError):
        study.wait(timeout=0.1)
    study.stop()
    assert study.wait().state is StudyState.STOPPED
    assert study.plot("history").spec is not None


def test_a_service_that_does_not_answer_is_named(laptop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_URL", "http://127.0.0.1:1")
    with pytest.raises(StoreUnavailable, match=r"http://127.0.0.1:1 does not answer"):
        RemoteClient().schedules()


@pytest.mark.parametrize(("code", "sent"), [(".", "sub"), ("..", "."), ("/nowhere/at/all", "/nowhere/at/all")])
def test_code_is_named_as_the_service_finds_it(tmp_path: Path, code: str, sent: str) -> None:
    (tmp_path / "sub").mkdir()
    assert code_there(code, tmp_path / "sub", tmp_path) == sent
    assert code_there(code, tmp_path / "sub", Path("/")) in (str((tmp_path / "sub" / code).resolve()), code)
    with pytest.raises(SpecInvalid, match="not below the code root"):
        code_there(".", tmp_path, tmp_path / "sub")


@pytest.mark.parametrize("kind", [Champion, Device, Firing, Schedule])
def test_a_record_comes_back_from_its_json(kind: type, web_store: WebStore, local: Client) -> None:
    """What the API sends of a record is all that there is of it."""
    local.add_schedule({**SPEC, **PLAN})
    name = local.fire("nightly", slice_={"r": "eu"})[0].name
    played(local, local.study(name), 0.5)
    local.promote(name, 0, None, "why")
    web_store.put_devices("here", [device("gpu-1", kind="H100")])
    rows = [*local.champions(), *web_store.devices(), *web_store.firings("nightly"), *local.schedules()]
    found = [each for each in rows if isinstance(each, kind)]
    assert found
    assert [record_from(kind, plain(each)) for each in found] == found


def as_service(client: Service, study: Study) -> tuple[Service, Study]:
    """The type checker holds both clients to the protocol by this."""
    return client, study


def test_both_clients_keep_the_protocol(laptop: str, local: Client) -> None:
    remote = RemoteClient()
    local.submit(SPEC)
    for client, study in (as_service(local, local.study("digits")), as_service(remote, remote.study("digits"))):
        assert study.record.name == client.records(1)[0].name == "digits"
        assert client.progress(study).study.budget == 3


def test_tokens_scopes_hold_over_the_client(served: str, web_store: WebStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_URL", served)
    monkeypatch.setenv("CELERIAC_TOKEN", make_token(web_store, "reader", (Scope.READ,)))
    client = RemoteClient()
    assert client.me() == ("reader", ["read"])
    with pytest.raises(CallerError, match="needs the scope `operate`"):
        client.drain("here", [])
