"""What is made of rows, over the API: pictures, files, rungs, comparisons, nights; and the doors for tools."""

import asyncio
import importlib.util
import inspect
import json
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

import celeriac
from celeriac.client import Client, Study
from celeriac.client.remote.client import RemoteClient
from celeriac.client.remote.rows import RemoteRows
from celeriac.client.remote.wire import Wire
from celeriac.client.replay import replay
from celeriac.domain.errors import CallerError, SpecInvalid
from celeriac.domain.records import FiringState, StudyState
from celeriac.doors.mlflow_live import Follower
from celeriac.report.export import Exported
from celeriac.runtime.settings import Settings
from celeriac.store import WebStore
from tests.celeriac.cli.played import CODE, PLAN, SPEC, closed, leased, played, started
from tests.celeriac.store.scenes import report, scored
from tests.celeriac.web.conftest import Run

ASHA = {"stop_early": {"rule": "asha", "min": 1, "max": 9, "eta": 3}}
WAIT_S = 30.0


@pytest.fixture
def digits(laptop: str, local: Client) -> Study:
    """A study with twelve trials, each with reports."""
    study = local.submit({**SPEC, **ASHA, "budget": {"trials": 20}})
    started(local, study)
    for number in range(12):
        lease = leased(local, study)
        local.store.report(lease.token, [report(lease, step, 0.1 * number) for step in range(5)])
        local.store.finish_attempt(lease.token, scored(0.1 * number, log_tail="told\n"))
    return study


def test_what_is_made_of_rows_is_made_here(digits: Study, run: Run, tmp_path: Path) -> None:
    for words in (("rungs", "digits"), ("advise", "digits"), ("compare", "digits", "0", "1"), ("trials", "digits")):
        code, out, err = run(*words, "--json")
        assert (code, json.loads(out)) == (0, json.loads(out)), err
    assert json.loads(run("trials", "digits", "--json")[1])[3]["runs"][0]["outcome"] == "scored"
    rows = run("export", "digits", "--to", "csv", "--reports")[1].splitlines()
    assert len(rows) == 1 + 12 * 5
    whole = json.loads(run("export", "digits", "--to", "json", "--reports")[1])
    assert [len(each["reports"]) for each in whole["trials"]] == [5] * 12
    code, out, err = run("export", "digits", "--to", "tensorboard", "--out", str(tmp_path / "tb"))
    assert code == 0 or "is not installed here" in err, err
    code, _, err = run("trials", "digits", "--why", "3", "--replay")
    assert (code, "runs its sampler, which the API" in err or "no sampler suggested" in err) == (2, True), err


def test_pictures_and_importance_are_drawn_of_what_the_api_tells(digits: Study, run: Run, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    pytest.importorskip("vl_convert")
    code, out, err = run("plot", "digits", "--out", str(tmp_path / "plots"), "--json")
    assert code == 0, err
    assert len(json.loads(out)["files"]) >= 4
    judged = json.loads(run("importance", "digits", "--json")[1])
    assert judged["parameters"][0]["name"] == "lr"
    remote, own = celeriac.Client().study("digits").scene(), digits.scene()
    assert (remote.curves, remote.importance) == (own.curves, own.importance)
    assert [each.score for each in remote.trials] == [each.score for each in own.trials]


def test_attempts_of_many_trials_are_one_request(digits: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    study, get = celeriac.Client().study("digits"), Wire.get
    asked: list[tuple[object, ...]] = []

    def noted(wire: Wire, *path: object, **given: Any) -> Any:
        asked.append(path)
        return get(wire, *path, **given)

    monkeypatch.setattr(Wire, "get", noted)
    runs = study.attempts_of(range(12))
    assert [each[0].trial for each in runs.values()] == list(range(12))
    assert len(asked) == 1


def test_a_study_is_deleted_over_the_api(digits: Study, run: Run) -> None:
    code, _, err = run("delete", "digits", "--yes")
    assert (code, "stop it first" in err or "celeriac stop" in err) == (2, True), err
    digits.stop()
    assert run("delete", "digits")[0] == 2
    assert json.loads(run("delete", "digits", "--yes", "--json")[1])["trials"] == 12
    assert run("status", "digits")[0] == 2


def test_a_dry_run_asks_the_service(laptop: str, run: Run, local: Client) -> None:
    told = json.loads(run("submit", "study.yaml", "--dry-run", "--json")[1])
    assert (told["name_is"], told["first_points"][0]) == ("free", {"lr": 0.01})
    assert local.studies() == []


def test_nights_are_shown_followed_and_replayed(laptop: str, run: Run, local: Client, tmp_path: Path) -> None:
    plan = {**PLAN, "schedule": {**PLAN["schedule"], "cron": "0 2 * * *"}}  # type: ignore[dict-item]
    (tmp_path / "plan.yaml").write_text(json.dumps({**SPEC, **plan}))
    assert run("schedule", "add", "plan.yaml")[0] == 0
    assert len(json.loads(run("schedule", "next", "nightly", "-n", "3", "--json")[1])) == 6
    assert "r=eu" in run("schedule", "next", "nightly")[1]
    name = json.loads(run("schedule", "fire", "nightly", "--slice", "r=eu", "--json")[1])["studies"][0]
    played(local, local.study(name), 0.5)
    shown = json.loads(run("schedule", "show", "nightly", "--json")[1])
    assert [each["name"] for each in shown["firings"][0]["studies"]] == [name]
    firing = local.store.firings("nightly")[0]
    _ended(local, firing.id)
    code, out, _ = run("schedule", "watch", "nightly")
    assert (code, "FAILED" in out) == (1, True)


def test_past_nights_are_run_by_the_service_and_waited_for(laptop: str, local: Client) -> None:
    local.add_schedule({**SPEC, **PLAN})
    due_at = datetime(2026, 1, 5, 1, 0, tzinfo=UTC)

    def play() -> bool:
        asked = local.store.replays("nightly")
        if not asked:
            return False
        [(firing, _)] = local.firings_of("nightly", due_at, slice_={"r": "eu"}, again=False, reason="")
        _ended(local, firing.id)
        return local.store.end_replay(asked[0].id, "all of its nights are over")

    playing = _until(play)
    days = date(2026, 1, 5), date(2026, 1, 5)
    told: list[str] = []
    nights = replay(RemoteClient(), "nightly", *days, told=lambda each: told.append(each.name))
    playing.join(WAIT_S)
    assert [(each.due_at, each.state) for each in nights] == [(due_at, FiringState.FAILED)]
    assert told == [each.name for each in nights]


def _ended(local: Client, firing_id: int) -> None:
    """The firing at its end, as one that failed."""
    from celeriac.domain.firing_moves import FiringMove
    from celeriac.domain.lifecycle import FiringEvent

    firing = local.store.firing(firing_id)
    local.store.move_firing(firing.id, firing.turn, FiringMove(FiringEvent.FAIL, "it broke"))


def test_each_verb_of_the_rows_is_one_of_the_stores() -> None:
    verbs = [name for name in vars(RemoteRows) if not name.startswith("_") and name != "knowing"]
    assert len(verbs) > 20
    for name in verbs:
        own, stores = (inspect.signature(getattr(kind, name)) for kind in (RemoteRows, WebStore))
        assert list(own.parameters.values()) == list(stores.parameters.values()), name
        assert own.return_annotation == stores.return_annotation, name


def test_what_the_python_client_lacks_over_the_api() -> None:
    lacking = {name for name in dir(Client) if not name.startswith("_")} - set(dir(RemoteClient))
    assert lacking == {
        *("acting_as", "web_store"),  # the web's own
        *("checked", "new_study", "wake", "tickets", "begin", "firings_of"),  # steps of what it has
    }


def _until(play: Callable[[], bool]) -> threading.Thread:
    """Have something done as soon as it can be, beside what waits for it."""

    def work() -> None:
        between = threading.Event()
        for _ in range(int(WAIT_S / 0.05)):
            if play():
                return
            between.wait(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def _when_there(local: Client, play: Callable[[Study], None]) -> threading.Thread:
    """Play the first study that is opened."""

    def found() -> bool:
        studies = local.studies(1)
        if studies:
            play(studies[0])
        return bool(studies)

    return _until(found)


def test_tune_runs_a_function_whose_code_the_service_sees(
    laptop: str, local: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "far_train.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path / "tuned")
    import far_train  # type: ignore[import-not-found]  # written just above

    def play(study: Study) -> None:
        played(local, study, 0.5, 0.75)
        closed(local, study)

    playing = _when_there(local, play)
    study = celeriac.tune(far_train.objective, SPEC["space"], goal="maximize", trials=2, timeout=WAIT_S)
    playing.join(WAIT_S)
    assert (study.state, study.best and study.best.score) == (StudyState.DONE, 0.75)
    assert local.studies()[0].record.code_root == "tuned"
    assert not (tmp_path / "laptop" / "run").exists()  # nothing was started here
    monkeypatch.setenv("CELERIAC_CODE_ROOT", "/")
    with pytest.raises(SpecInvalid, match="over the API code is named and not sent"):
        celeriac.Client().submit({**SPEC, "code": "/nowhere/at/all"})


def test_a_search_of_scikit_learn_puts_its_data_where_the_service_sees_it(
    laptop: str, local: Client, tmp_path: Path
) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("cloudpickle")
    from sklearn.datasets import load_iris
    from sklearn.svm import SVC

    from celeriac.doors.sklearn import CeleriacSearchCV
    from celeriac.trial import Trial

    def play(study: Study) -> None:
        place = tmp_path / study.record.code_root / "celeriac_search_cv.py"
        module = importlib.util.spec_from_file_location("far_job", place)
        assert module is not None
        assert module.loader is not None
        loaded = importlib.util.module_from_spec(module)
        module.loader.exec_module(loaded)
        started(local, study)
        lease = leased(local, study)
        found = loaded.objective(Trial.offline({"C": 1.0}))
        local.store.finish_attempt(lease.token, scored(found.score, metrics=found.metrics))
        closed(local, study)

    playing = _when_there(local, play)
    x, y = load_iris(return_X_y=True)
    search = CeleriacSearchCV(SVC(), {"lr": {"float": [0.01, 1.0]}}, n_iter=1, cv=3, refit=False).fit(x, y)
    playing.join(WAIT_S)
    assert search.best_score_ > 0.9
    assert list((tmp_path / "searches").iterdir()) == []


def test_trials_follow_to_mlflow_over_the_api(digits: Study, local: Client) -> None:
    written: list[tuple[int, int]] = []

    def write(found: Exported) -> int:
        rows = [(trial.number, len(told)) for trial, told in found.trials]
        written.extend(rows)
        return len(rows)

    follower = Follower(celeriac.Client(), write)
    assert follower.look() == 12
    assert written == [(number, 5) for number in range(12)]
    local.store.finish_attempt(leased(local, digits).token, scored(0.9))
    assert (follower.look(), follower.look()) == (1, 0)


def test_an_agent_works_over_the_api(digits: Study, local: Client, tmp_path: Path) -> None:
    mcp = pytest.importorskip("mcp")
    from celeriac.mcp.server import Door, server_of

    door = Door(Settings.from_env)
    server = server_of(door)

    async def ask(name: str, arguments: dict[str, Any]) -> Any:
        async with mcp.Client(server) as agent:
            return await agent.call_tool(name, arguments)

    def call(tool: str, /, **arguments: Any) -> Any:
        found = asyncio.run(ask(tool, arguments))
        [text] = found.content
        assert not found.is_error, (tool, text.text)
        return json.loads(text.text)

    assert call("status")["studies"][0]["study"] == "digits"
    assert call("status", study="digits")["best_params"]
    assert call("why", study="digits")["reason"]
    assert call("why", study="digits", trial=0)["how"]
    assert len(call("trials", study="digits", trial=2)["curve"]) == 5
    assert call("trials", study="digits", sort="best", limit=1)["trials"]
    assert call("compare", study="digits", trials=[0, 1])["differ"]
    assert call("logs", study="digits", trial=1)["lines"] == "told"
    assert call("submit", spec={**SPEC, "study": "other"}, dry_run=True)["name_is"] == "free"
    (tmp_path / "plan.yaml").write_text(json.dumps({**SPEC, **PLAN}))
    assert call("schedule", what="add", name="nightly", file=str(tmp_path / "plan.yaml"))
    assert len(call("schedule", what="next", name="nightly")["next"]) == 10
    [name] = call("schedule", what="fire", name="nightly", slice="r=eu")["studies"]
    played(local, local.study(name), 0.5)
    assert call("schedule", name="nightly")["newest_night"]
    assert call("approve", answer="promote", study=name, trial=0)["trial"] == 0
    assert call("champion", schedule="nightly")["of"] == 1
    assert call("morning")["mornings"][0]["schedule"] == "nightly"
    assert call("stop", study="digits", how="pause")["state"] == "PAUSED"
    door.close()


def test_a_home_is_this_machines_whatever_the_address_says(
    laptop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings.from_env().url == laptop
    assert Settings.from_env(home=tmp_path / "own").url == ""
    with pytest.raises(CallerError, match="from the newest on"):
        celeriac.Client().store.studies(before_id=3)
