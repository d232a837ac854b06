"""The API end to end, over the run's own Postgres and Redis: what it reads, what it does, and how it says no."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from celeriac.client import Client
from celeriac.domain.records import Fault, Scope, VerdictKind
from celeriac.runtime.settings import Settings
from celeriac.store import WebStore
from celeriac.store.tokens import make_token
from celeriac.web.paging import MOST_BYTES, cursor_of
from tests.celeriac.cli.played import PLAN, SPEC, STUDY_FILE, leased, played, started
from tests.celeriac.store.scenes import NOON, device, failed, report, scored, searching, verdict
from tests.celeriac.web.conftest import Ask

V1 = "/api/v1"


@pytest.fixture
def client(app: Any) -> Client:
    """The client below the app."""
    found: Client = app.state.client
    return found


def items(api: TestClient, path: str, **params: Any) -> Iterator[dict[str, Any]]:
    """Every item of a list, page by page."""
    cursor: dict[str, str] = {}
    while True:
        page = api.get(V1 + path, params={**params, **cursor}).raise_for_status().json()
        yield from page["items"]
        if page["next"] is None:
            return
        cursor = {"cursor": page["next"]}


def test_a_study_is_submitted_watched_and_told_what_to_do(api: TestClient, client: Client) -> None:
    made = api.post(V1 + "/studies", json={"yaml": STUDY_FILE})
    assert (made.status_code, made.json()["attached"]) == (201, False)
    again = api.post(V1 + "/studies", json={"spec": SPEC})
    assert (again.status_code, again.json()["attached"]) == (200, True)
    other = api.post(V1 + "/studies", json={"spec": {**SPEC, "budget": {"trials": 4}}})
    assert (other.status_code, other.json()["difference"]) == (409, ["budget.trials: 3 -> 4"])
    played(client, client.study("digits"), 0.5, 0.75)
    assert [each["name"] for each in items(api, "/studies", q="DIG")] == ["digits"]
    progress = api.get(V1 + "/studies/digits/progress").json()
    assert (progress["finished"], progress["best"]) == (2, {"trial": 1, "score": 0.75})
    best = api.get(V1 + "/studies/digits/best").json()
    assert (best["number"], best["gain"], best["default"]["score"]) == (1, 0.25, 0.5)
    assert api.get(V1 + "/studies/digits/waiting").json()["reason"]
    paused = api.post(V1 + "/studies/digits/pause", json={}).json()
    assert (paused["state"], paused["reason"]) == ("PAUSED", "paused by tester")
    assert api.post(V1 + "/studies/digits/pause", json={}).status_code == 409
    assert api.post(V1 + "/studies/digits/resume", json={"reason": "go"}).json()["state"] == "RUNNING"
    assert api.post(V1 + "/studies/digits/extend", json={"trials": "+2"}).json()["budget"] == 5
    assert api.post(V1 + "/studies/digits/stop", json={}).json()["state"] == "STOPPED"
    assert api.post(V1 + "/studies/digits/reopen", json={}).json()["state"] == "RUNNING"


def test_trials_are_listed_in_pages_filtered_and_by_score(api: TestClient, client: Client) -> None:
    client.submit({**SPEC, "budget": {"trials": 9}})
    played(client, client.study("digits"), 0.5, 0.9, 0.5, 0.7)
    path = "/studies/digits/trials"
    assert [each["number"] for each in items(api, path, limit=2)] == [0, 1, 2, 3]
    assert [each["number"] for each in items(api, path, limit=3, order="-number")] == [3, 2, 1, 0]
    assert [each["number"] for each in items(api, path, limit=1, order="score")] == [1, 3, 0, 2]
    assert [each["number"] for each in items(api, path, min_score=0.6, max_score=0.8)] == [3]
    assert [each["number"] for each in items(api, path, source="default", state="SCORED")] == [0]
    assert list(items(api, path, fault="timeout")) == []
    one = api.get(V1 + path + "/3").json()
    assert (one["score"], one["runs"][0]["outcome"], "token" in one["runs"][0]) == (0.7, "scored", False)
    assert api.get(V1 + path + "/3/attempts/1/log").json() == {"log": "trial 3\n"}
    assert api.get(V1 + path + "/3/why").json()["how"]
    assert api.get(V1 + path + "/9").status_code == 404
    for cursor in ("x", "bnVsbA", "WzFlOTldCg", "e30", "W3RydWVd", "WyJhIl0"):
        assert api.get(V1 + path, params={"cursor": cursor}).json()["type"] == "urn:celeriac:cursor-invalid"


def test_reports_are_thinned_by_the_database(api: TestClient, client: Client) -> None:
    client.submit(SPEC)
    started(client, client.study("digits"))
    lease = leased(client, client.study("digits"))
    client.store.report(lease.token, [report(lease, step, step / 100) for step in range(101)])
    thin = api.get(V1 + "/studies/digits/trials/0/reports", params={"points": 11}).json()
    assert [each["step"] for each in thin] == [*list(range(0, 101, 11)), 100]
    whole = api.get(V1 + "/studies/digits/curves", params={"trial": [0], "points": 200}).json()
    assert whole["0"]["step"] == list(range(101))


def test_attempts_and_reports_of_many_trials_come_in_pages(api: TestClient, client: Client) -> None:
    client.submit({**SPEC, "budget": {"trials": 9}})
    study = client.study("digits")
    started(client, study)
    for number in range(3):
        lease = leased(client, study)
        client.store.report(lease.token, [report(lease, step, 0.1 * step) for step in range(4)])
        client.store.finish_attempt(lease.token, scored(0.5 + number))
    path = "/studies/digits"
    assert [each["trial"] for each in items(api, path + "/attempts", limit=2)] == [0, 1, 2]
    assert [each["trial"] for each in items(api, path + "/attempts", trial=[2, 0, 7], limit=1)] == [0, 2]
    assert "token" not in next(items(api, path + "/attempts"))
    told = [(each["trial"], each["step"]) for each in items(api, path + "/reports", limit=3)]
    assert told == [(trial, step) for trial in range(3) for step in range(4)]
    assert [each["trial"] for each in items(api, path + "/reports", trial=[1], limit=3)] == [1] * 4
    assert [each["ended_no"] for each in items(api, path + "/ended", limit=1)] == [1, 2, 3]
    assert [each["ended_no"] for each in items(api, path + "/ended", after=2)] == [3]


def test_a_study_is_deleted_once_it_has_ended_and_only_said_what_would_go(
    api: TestClient, client: Client, settings: Settings
) -> None:
    played(client, client.submit(SPEC), 0.5)
    path, study_id = V1 + "/studies/digits/delete", client.study("digits").id
    assert api.post(path, json={"dry_run": True}).status_code == 409
    api.post(V1 + "/studies/digits/stop", json={}).raise_for_status()
    log = settings.log_root / str(study_id) / "0-1.log"
    log.parent.mkdir(parents=True)
    log.write_text("told")
    told = api.post(path, json={"dry_run": True}).json()
    assert (told["trials"], told["files"], told["size_bytes"], told["dry_run"]) == (1, 1, 4, True)
    assert log.exists()
    assert api.post(path, json={}).json()["files"] == 1
    assert not log.exists()
    assert api.get(V1 + "/studies/digits").status_code == 404


def test_a_dry_run_tells_cost_and_first_points(api: TestClient, client: Client) -> None:
    body = {"spec": SPEC, "dry_run": True}
    assert set(api.post(V1 + "/studies", json=body).json()) == {"study", "spec", "code_root", "dry_run"}
    told = api.post(V1 + "/studies", json={**body, "points": 2}).json()
    assert (told["name_is"], told["first_points"][0], len(told["first_points"])) == ("free", {"lr": 0.01}, 2)
    assert client.studies() == []


def test_failed_trials_run_again_and_one_is_cancelled(api: TestClient, client: Client) -> None:
    client.submit(SPEC)
    study = client.study("digits")
    started(client, study)
    lease = leased(client, study)
    client.store.finish_attempt(lease.token, failed(Fault.USER_BUG, traceback="boom"))
    told = api.get(V1 + "/studies/digits/trials/0").json()
    assert "celeriac retry" in told["advice"]
    assert api.post(V1 + "/studies/digits/trials/0/retry", json={}).json()["state"] == "WAITING"
    assert api.post(V1 + "/studies/digits/trials/0/retry", json={}).status_code == 409
    assert api.post(V1 + "/studies/digits/trials/0/cancel", json={}).json()["state"] == "CANCELLED"
    added = api.post(V1 + "/studies/digits/points", json={"points": [{"lr": 0.02}]})
    assert added.status_code == 201
    assert added.json()["trials"][0]["why"]["who"] == "tester"
    [told] = api.get(V1 + "/studies/digits/waiting").json()["proposers"]
    assert (told["who"], told["given"], told["most"]) == ("tester", 1, 0)
    page = api.get("/studies/digits").text
    assert "Points from outside" in page
    assert "trials from outside" in page
    assert api.post(V1 + "/studies/digits/points", json={"points": [{"lr": 7}]}).status_code == 422


def test_past_nights_are_asked_for_and_stopped(api: TestClient) -> None:
    api.post(V1 + "/schedules", json={"spec": {**SPEC, **PLAN}})
    days = {"first_day": "2013-10-01", "last_day": "2013-10-03"}
    asked = [api.post(V1 + "/schedules/nightly/replays", json=days) for _ in range(2)]
    assert [each.status_code for each in asked] == [201, 201]
    [found] = api.get(V1 + "/schedules/nightly/replays").json()
    assert asked[0].json() == asked[1].json() == found
    assert {name: found[name] for name in days} == days
    assert found["who"] == "tester"
    other = api.post(V1 + "/schedules/nightly/replays", json={**days, "last_day": "2013-10-04"})
    assert (other.status_code, other.json()["type"]) == (409, "urn:celeriac:illegal-transition")
    stop = V1 + "/schedules/nightly/replays/stop"
    assert [api.post(stop, json={"replay": found["id"]}).json()["stopped"] for _ in range(2)] == [True, False]
    assert api.post(V1 + "/schedules/hourly/replays", json=days).status_code == 404
    assert api.post(V1 + "/schedules/nightly/replays", json={"first_day": "2013-10-01"}).status_code == 422


def test_a_schedule_is_put_fired_and_its_champions_changed(api: TestClient, client: Client) -> None:
    made = api.post(V1 + "/schedules", json={"spec": {**SPEC, **PLAN}, "reason": "new"})
    assert (made.status_code, made.json()["name"]) == (201, "nightly")
    assert api.get(V1 + "/schedules/nightly/history").json()[0]["who"] == "tester"
    assert len(api.get(V1 + "/schedules/nightly/next", params={"n": 2}).json()["coming"]) == 4
    fired = api.post(V1 + "/schedules/nightly/fire", json={"slice": "r=eu", "reason": "why not"})
    assert fired.status_code == 201
    [study] = fired.json()["studies"]
    assert len(list(items(api, "/schedules/nightly/firings", limit=1))) == 1
    firing = api.get(V1 + f"/firings/{study['firing_id']}").json()
    assert firing["firing"]["note"].startswith("asked for by tester: why not")
    name = study["name"]
    played(client, client.study(name), 0.5, 0.7)
    assert api.get(f"{V1}/studies/{name}").json()["name"] == name  # it has slashes
    assert api.get(f"{V1}/studies/{name}/trials/1").json()["score"] == 0.7
    assert api.post(f"{V1}/studies/{name}/trials/1/retry", json={}).status_code == 409
    assert api.post(f"{V1}/studies/{name}/retry", json={}).json()["trials"] == []
    for trial in (0, 1):
        given = {"study": study["name"], "trial": trial, "reason": "it is better"}
        assert api.post(V1 + "/schedules/nightly/promote", json=given).json()["who"] == "tester"
    seen = api.get(V1 + "/schedules/nightly/champion", params={"slice": "r=eu"}).json()
    assert (seen["champion"]["trial"], seen["awaiting"]) == (1, None)
    back = api.post(V1 + "/schedules/nightly/rollback", json={"slice": "r=eu"}).json()
    assert (back["trial"], back["kind"]) == (0, VerdictKind.ROLLBACK)
    assert len(list(items(api, "/schedules/nightly/verdicts", limit=2))) == 3
    assert [each["trial"] for each in items(api, "/champions")] == [0]
    assert api.post(V1 + "/schedules/nightly/approve", json={"slice": "r=eu"}).status_code == 422
    assert [each["schedule"] for each in items(api, "/mornings", schedule="nightly")] == ["nightly"]
    assert api.post(V1 + "/schedules/nightly/pause", json={}).status_code == 200
    assert api.get(V1 + "/schedules/nightly").json()["schedule"]["paused"] is True
    assert api.post(V1 + "/schedules/nightly/remove", json={}).status_code == 200
    assert api.get(V1 + "/schedules/nightly").status_code == 404


def test_champions_and_mornings_come_in_pages(api: TestClient, web_store: WebStore) -> None:
    api.post(V1 + "/schedules", json={"spec": {**SPEC, **PLAN}}).raise_for_status()
    long = {"gate": "x" * 60_000}
    nights = [searching(web_store, due_at=NOON + timedelta(days=day)) for day in range(5)]
    made = [replace(verdict(each, promoted=True, slice_={"r": str(each.id)}), evidence=long) for each in nights]
    for each in reversed(made):
        web_store.record_champion(each)
    pages = [api.get(V1 + "/champions", params={"schedule": "nightly"})]
    while more := pages[-1].json()["next"]:
        pages.append(api.get(V1 + "/champions", params={"schedule": "nightly", "cursor": more}))
    assert [len(each.json()["items"]) for each in pages] == [2, 2, 1]
    assert max(len(each.content) for each in pages) < MOST_BYTES
    told = [each["slice"] for page in pages for each in page.json()["items"]]
    assert told == [each.slice for each in web_store.champions()]
    assert [each["slice"] for each in items(api, "/champions", limit=1)] == told
    assert list(items(api, "/champions", schedule="weekly")) == []
    names = [f"{each.due_at:%Y-%m-%d}" for each in nights if each.due_at]
    for limit in (1, 2, 50):
        assert [each["night"] for each in items(api, "/mornings", last=4, limit=limit)] == names[1:]
    assert [each["night"] for each in items(api, "/mornings", limit=1)] == names[-1:]
    assert [each["night"] for each in items(api, "/mornings", night=names[0])] == names[:1]
    elsewhere = api.get(V1 + "/mornings", params={"cursor": cursor_of("weekly", names[0])})
    assert elsewhere.json()["type"] == "urn:celeriac:cursor-invalid"


def test_a_host_is_taken_out_and_given_back(api: TestClient, web_store: WebStore) -> None:
    web_store.put_devices("here", [device("gpu-1", kind="H100")])
    [seen] = api.get(V1 + "/devices").json()
    assert (seen["uuid"], seen["alive"]) == ("gpu-1", True)
    assert api.post(V1 + "/fleet/drain", json={"host": "here"}).json()["known"] is True
    assert api.get(V1 + "/fleet").json()["drained"] == {"here": [""]}
    assert api.post(V1 + "/fleet/undrain", json={"host": "here"}).json()["given_back"] == 1
    me = api.get(V1 + "/me").json()
    assert (me["name"], me["scopes"]) == ("tester", ["code", "operate", "read", "submit"])


def test_code_is_taken_from_open_roots_alone(
    asked: Ask, web_store: WebStore, client: Client, tmp_path_factory: pytest.TempPathFactory
) -> None:
    narrow = asked(make_token(web_store, "narrow", (Scope.SUBMIT,)))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "train.py").write_text("def objective(trial): ...\n")
    for code in (str(elsewhere), "..", "/etc", "~", "../" * 30 + "etc"):
        refused = narrow.post(V1 + "/studies", json={"spec": {**SPEC, "code": code}})
        assert (refused.status_code, refused.json()["type"]) == (422, "urn:celeriac:spec-invalid")
        assert "not below what is open" in refused.json()["detail"]
    no_objective = {key: value for key, value in SPEC.items() if key != "objective"}
    command = {**no_objective, "command": "python train.py --lr {lr}"}
    refused = narrow.post(V1 + "/studies", json={"spec": command})
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:celeriac:scope-missing")
    hook = {**PLAN["schedule"], "hook": {"command": "rm -rf /"}}  # type: ignore[dict-item]
    refused = narrow.post(V1 + "/schedules", json={"spec": {**SPEC, **PLAN, "schedule": hook}})
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:celeriac:scope-missing")
    assert client.studies() == []
    assert client.schedules() == []


def test_a_write_with_a_key_is_done_once(api: TestClient, asked: Ask, web_store: WebStore) -> None:
    key = {"Idempotency-Key": "k1"}
    put = {"spec": {**SPEC, **PLAN}}
    assert api.post(V1 + "/schedules", json=put).status_code == 201
    first = api.post(V1 + "/schedules/nightly/fire", json={}, headers=key)
    again = api.post(V1 + "/schedules/nightly/fire", json={}, headers=key)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotent-replay"] == "true"
    assert len(web_store.firings("nightly")) == 2  # one a slice
    other = api.post(V1 + "/schedules/nightly/fire", json={"again": True}, headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "urn:celeriac:key-reused")
    hers = asked(make_token(web_store, "her", (Scope.SUBMIT,)))
    assert hers.post(V1 + "/schedules/nightly/fire", json={}, headers=key).status_code == 201  # her own key


def test_a_read_is_answered_304_until_it_changes(api: TestClient, client: Client) -> None:
    client.submit(SPEC)
    first = api.get(V1 + "/studies/digits")
    tag = {"If-None-Match": first.headers["etag"]}
    same = api.get(V1 + "/studies/digits", headers=tag)
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", first.headers["etag"])
    client.study("digits").stop()
    assert api.get(V1 + "/studies/digits", headers=tag).status_code == 200


def test_changes_are_told_as_they_happen(served: str, token: str, client: Client) -> None:
    client.submit(SPEC)
    study = client.study("digits")
    started(client, study)
    told: list[str] = []
    opened = threading.Event()

    def look() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.stream("GET", f"{served}{V1}/studies/digits/events", headers=headers, timeout=30) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    told.append(line)
                    opened.set()

    looking = threading.Thread(target=look)
    looking.start()
    assert opened.wait(20)
    lease = leased(client, study)
    client.store.finish_attempt(lease.token, scored(0.5))
    study.stop("enough")
    looking.join(timeout=30)  # the stream ends when the study is closed
    assert not looking.is_alive()
    assert '"state":"STOPPED"' in told[-1]


def test_the_document_says_every_path_and_status(api: TestClient) -> None:
    document = api.get(V1 + "/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert len(document["paths"]) > 40
    for path, methods in document["paths"].items():
        assert path.startswith(V1)
        for method, operation in methods.items():
            assert {"401", "403", "404", "422", "503"} <= set(operation["responses"]), (method, path)
