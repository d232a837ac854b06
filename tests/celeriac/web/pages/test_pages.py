"""The board's pages over real rows: each shows what the rows say, as a page and as data; forms do what they say."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from celeriac.client import Client, Study
from celeriac.client.schedules import fire_now
from celeriac.domain.records import Report, Scope
from celeriac.store import WebStore
from celeriac.store.api_board import Condition, StudyFilter, TrialOrder
from celeriac.store.tokens import make_link, make_token
from celeriac.web.pages import morning
from celeriac.web.pages.memory import Kept
from celeriac.web.pages.tables import read_filter
from tests.celeriac.cli.played import SPEC, STUDY_FILE, leased, played
from tests.celeriac.store.scenes import device
from tests.celeriac.web.conftest import Ask
from tests.coordinator.house import House, with_slots
from tests.coordinator.nightlife import JFK, by_lr, put_schedule, work

PAGE = {"Accept": "text/html"}
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def client(app: FastAPI) -> Client:
    """The app's own client."""
    found: Client = app.state.client
    return found


@pytest.fixture
def study(client: Client) -> Study:
    """A study with three scored trials and one that runs, which has reported."""
    made = client.submit({**SPEC, "budget": {"trials": 6}, "code": str(client.settings.code_root)})
    played(client, made, 0.5, 0.9, 0.7)
    lease = leased(client, made)
    client.store.report(lease.token, [Report(step, step / 10) for step in range(5)])
    client.store.renew(lease.token, 30, log_tail=f"epoch 4 {EVIL}\n")
    return made


@pytest.fixture
def night(web_store: WebStore) -> House:
    """A schedule whose first night found a challenger that waits for a person."""
    house = House(slots=2)
    house.store = web_store  # type: ignore[assignment]
    with_slots(web_store, 2)
    house.restart()
    put_schedule(house, gate={"require_approval": True})
    fire_now(web_store, "flights", None, by="ada")
    work(house, by_lr(0.1))
    return house


def text(answer: Any) -> str:
    """A page's words, with one space between them."""
    assert answer.status_code == 200, answer.text[:400]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


def form(browser: TestClient) -> dict[str, str]:
    """What a form of this browser carries."""
    found = re.search(r'name="csrf" value="([^"]+)"', browser.get("/").text)
    assert found is not None
    return {"csrf": found[1]}


@pytest.mark.usefixtures("study")
def test_a_study_s_page_shows_its_best_its_trials_and_what_runs(api: TestClient) -> None:
    page = text(api.get("/studies/digits"))
    assert "best accuracy 0.9 trial 1 , 0.4 better than the default" in page
    assert "3 of 6" in page
    assert "trial 3 cpu0.s0@here" in page
    data = api.get("/studies/digits.json").json()
    assert data["now"]["study"]["best_score"] == 0.9
    assert [each["score"] for each in data["table"]["lines"]] == [0.5, 0.9, 0.7, None]
    assert data["table"]["lines"][3]["last_step"] == 4
    assert "digits" in text(api.get("/"))
    assert "digits" in text(api.get("/studies"))


@pytest.mark.usefixtures("study")
def test_pictures_are_drawn_from_the_rows(api: TestClient) -> None:
    drawn = api.get("/studies/digits/drawn.json").json()
    assert (drawn["n"], drawn["state"], drawn["score"]) == ([0, 1, 2], "sss", [0.5, 0.9, 0.7])
    assert (drawn["best"], drawn["standard"], drawn["steps"]) == (1, [0, 0.5], [[0, 0.5], [1, 0.9]])
    assert drawn["v"] == [[0.01, 0.02, 0.03]]
    assert drawn["u"][0][0] == pytest.approx(0.75)
    curves = api.get("/studies/digits/curves.json").json()
    assert curves["curves"] == {"3": [[0, 0.0], [1, 0.1], [2, 0.2], [3, 0.3], [4, 0.4]]}
    assert curves["states"] == {"3": "running"}
    timeline = api.get("/studies/digits/timeline.json").json()
    assert timeline["workers"] == ["cpu0.s0@here"]
    assert [each["end"] for each in timeline["runs"]] == ["scored"] * 3 + ["running"]


@pytest.mark.usefixtures("study")
def test_the_table_is_filtered_sorted_and_compared(api: TestClient) -> None:
    found = api.get("/studies/digits.json?where=score>0.6&sort=score&down=1").json()["table"]
    assert ([each["number"] for each in found["lines"]], found["of"]) == ([1, 2], 2)
    assert "is no column and no parameter; there are" in text(api.get("/studies/digits?where=colour=red"))
    assert "2 trials side by side 1 parameter differs" in text(api.get("/studies/digits/compare?trials=1,2"))
    refused = api.get("/studies/digits/compare?trials=1", headers=PAGE)
    assert (refused.status_code, "name 2 to 8 trials" in refused.text) == (422, True)


@pytest.mark.usefixtures("study")
def test_a_trial_s_page_shows_its_log_escaped(api: TestClient) -> None:
    page = text(api.get("/studies/digits/trials/1"))
    assert "Trial 1 scored best" in page
    assert "suggested" in page
    log = api.get("/studies/digits/trials/3/log").text
    assert EVIL not in log
    assert "epoch 4 &lt;script&gt;" in log
    assert "data-over" not in log
    assert "data-over" in api.get("/studies/digits/trials/1/log").text


@pytest.mark.usefixtures("study")
def test_nothing_new_is_told_by_its_tag_alone(api: TestClient) -> None:
    for path in ("/studies/digits/drawn.json", "/studies/digits/trials/1/log"):
        tag = api.get(path).headers["etag"]
        again = api.get(path, headers={"If-None-Match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)


def test_what_is_not_there_is_a_page_for_a_browser_and_a_problem_for_a_program(api: TestClient) -> None:
    page = api.get("/studies/nowhere", headers=PAGE)
    assert (page.status_code, page.headers["content-type"].split(";")[0]) == (404, "text/html")
    assert "nowhere" in page.text
    assert api.get("/studies/nowhere.json").json()["status"] == 404


@pytest.mark.usefixtures("study")
def test_who_may_only_read_is_shown_no_buttons(asked: Ask, browser: TestClient, web_store: WebStore) -> None:
    house = House(slots=2)
    house.store = web_store  # type: ignore[assignment]
    put_schedule(house)
    with_slots(web_store, 2)
    make_token(web_store, "reader", (Scope.READ,))
    reader = asked()
    assert reader.get(f"/login/once?code={make_link(web_store, 'reader')}").status_code == 303
    for path in ("/studies/digits", "/studies/digits/trials/1", "/schedules/flights", "/fleet"):
        forms = re.findall(r'<form method="post" action="([^"]+)"', reader.get(path).text)
        assert forms == ["/logout"], path
    assert "Drain" in browser.get("/fleet").text
    assert "reader may check a file, but not submit one" in text(reader.get("/submit"))


def test_a_study_is_paused_and_goes_on_by_its_forms(browser: TestClient, study: Study) -> None:
    csrf = form(browser)
    assert browser.post("/studies/digits/pause", data={"reason": "lunch"}).status_code == 403
    assert (
        browser.post("/studies/digits/pause", data={**csrf, "reason": "lunch"}).headers["location"] == "/studies/digits"
    )
    assert (study.state, study.reason) == ("PAUSED", "lunch (tester)")
    browser.post("/studies/digits/resume", data=csrf)
    assert study.state == "RUNNING"
    browser.post("/studies/digits/stop", data=csrf)
    assert study.state == "STOPPED"


def test_a_file_is_checked_at_its_lines_and_submitted(browser: TestClient, client: Client) -> None:
    csrf = form(browser)
    wrong = STUDY_FILE.replace("maximize", "upwards").replace("budget:", "buget:")
    told = browser.post("/submit/check", data={**csrf, "text": wrong})
    assert 'data-line="3"' in told.text
    assert "metric.goal" in told.text
    assert client.studies() == []
    told = browser.post("/submit/check", data={**csrf, "text": STUDY_FILE})
    assert "digits is sound: 3 trials, accuracy (maximize)" in text(told)
    assert "float 1e-05 to 0.1, log 0.01 First points trial lr 0 0.01 1 " in text(told)
    sent = browser.post("/submit", data={**csrf, "text": STUDY_FILE, "name": "mine"})
    assert (sent.status_code, sent.headers["location"]) == (303, "/studies/mine")
    assert [each.name for each in client.studies()] == ["mine"]
    again = browser.post("/submit", data={**csrf, "text": STUDY_FILE.replace("0.01", "0.02"), "name": "mine"})
    assert (again.status_code, "exists" in again.text) == (409, True)


def test_a_night_is_seen_and_its_challenger_approved_and_rolled_back(browser: TestClient, night: House) -> None:
    store, csrf = night.store, form(browser)
    [firing] = store.firings("flights")
    first_page = browser.get("/index.json").json()
    assert [each["slice"] for each in first_page["waits"]] == [JFK]
    [heat] = first_page["heats"]
    [row] = heat["rows"]
    assert (row["slice"], row["cells"][0]["awaits"], row["cells"][0]["level"]) == ("airport=JFK", True, 3)
    assert "asked for by ada" in json.dumps(store.firings("flights")[0].note)
    page = text(browser.get(row["cells"][0]["url"]))
    assert "airport=JFK" in page
    assert firing.reason.split(":")[0] in page
    approved = browser.post("/schedules/flights/approve", data={**csrf, "slice": "airport=JFK", "reason": "fine"})
    assert approved.headers["location"] == "/schedules/flights"
    first = store.champion_of("flights", JFK)
    assert first is not None
    assert (first.kind, first.who, first.reason) == ("approved", "tester", "fine")
    again = browser.post("/schedules/flights/approve", data={**csrf, "slice": "airport=JFK"}, headers=PAGE)
    assert (again.status_code, "nothing waits for approval" in again.text) == (422, True)
    store.record_champion(replace(first, trial=0, kind="by hand", firing_id=None, before_id=first.id))  # type: ignore[arg-type]
    browser.post("/schedules/flights/rollback", data={**csrf, "slice": "airport=JFK"})
    back = store.champion_of("flights", JFK)
    assert back is not None
    assert (back.kind, back.trial, back.who) == ("rollback", first.trial, "tester")
    assert "rollback by tester" in text(browser.get("/schedules/flights"))


def test_of_many_slices_the_first_page_draws_a_part(
    api: TestClient, web_store: WebStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(slots=2)
    house.store = web_store  # type: ignore[assignment]
    put_schedule(house, slices=tuple({"airport": each} for each in ("ATL", "JFK", "SFO")))
    fire_now(web_store, "flights", None, by="ada")
    for drawn, shown in ((560, 3), (2 * morning._FEWEST_NIGHTS, 2)):
        monkeypatch.setattr(morning, "_MOST_DRAWN", drawn)
        [heat] = api.get("/index.json").json()["heats"]
        assert (len(heat["rows"]), heat["more"]) == (shown, 3 - shown)
    assert "1 more slice ; those with news come first" in text(api.get("/"))


def test_a_schedule_is_paused_and_fired_by_its_forms(browser: TestClient, night: House) -> None:
    store, csrf = night.store, form(browser)
    browser.post("/schedules/flights/pause", data={**csrf, "reason": "holiday"})
    assert store.schedule("flights").paused
    [edit] = store.schedule_edits("flights")
    assert (edit.who, edit.what, edit.reason) == ("tester", "paused", "holiday")
    browser.post("/schedules/flights/resume", data=csrf)
    browser.post("/schedules/flights/fire", data={**csrf, "slice": "airport=JFK", "reason": "again"})
    assert next(each.note for each in store.firings("flights")) == "asked for by tester: again"
    assert "flights" in text(browser.get("/schedules"))


def test_past_nights_are_asked_for_once_and_may_be_stopped(browser: TestClient, night: House) -> None:
    store, csrf = night.store, form(browser)
    days = {"first": "2026-11-20", "last": "2026-11-22"}
    assert browser.post("/schedules/flights/replay", data=days).status_code == 403
    for _ in range(2):
        sent = browser.post("/schedules/flights/replay", data={**csrf, **days})
        assert (sent.status_code, sent.headers["location"]) == (303, "/schedules/flights")
    [asked] = store.open_replays()
    assert (asked.schedule, asked.who, str(asked.first_day), str(asked.last_day)) == (
        "flights",
        "tester",
        *days.values(),
    )
    page = text(browser.get("/schedules/flights"))
    assert "those of 2026-11-20 to 2026-11-22: 0 of 3 nights have ended, 0 at work" in page
    for wrong, said in (
        ({"first": "2026-11-23"}, "2026-11-22 lies before 2026-11-23"),
        ({"first": "2020-01-01"}, "more than 366 days"),
        ({"last": "2026-11-21"}, "already, as tester asked"),
        ({"last": "yesterday"}, "date"),
    ):
        refused = browser.post("/schedules/flights/replay", data={**csrf, **days, **wrong}, headers=PAGE)
        assert (refused.status_code in (409, 422), said in refused.text) == (True, True), wrong
    browser.post("/schedules/flights/replay/stop", data={**csrf, "replay": str(asked.id)})
    assert store.open_replays() == []
    assert "stopped by tester" in text(browser.get("/schedules/flights"))


def test_the_fleet_shows_what_gpus_say_of_themselves(api: TestClient, web_store: WebStore) -> None:
    card = replace(device("SIM-0", kind="simulated GPU"), used_bytes=2**33, utilisation=0.5, temperature_c=61)
    web_store.put_devices("here", [card, device("SIM-1", kind="simulated H100")])
    web_store.put_devices("there", [device("cpu", host="there")])
    page = text(api.get("/fleet"))
    assert "8.0 GiB of 16.0 GiB 50 % 61 °C" in page
    assert page.count("Utilisation") == 1, "processors tell nothing of the kind"
    assert "What simulated GPUs say of themselves stands in a file" in page
    told = {each["uuid"]: (each["used_bytes"], each["utilisation"], each["temperature_c"]) for each in fleet(api)}
    assert told == {"SIM-0": (2**33, 0.5, 61), "SIM-1": (None, None, None), "cpu": (None, None, None)}


def fleet(api: TestClient) -> list[dict[str, Any]]:
    """The API's devices."""
    found: list[dict[str, Any]] = api.get("/api/v1/devices").json()
    return found


def test_the_first_page_says_what_is_sick_and_who_is_silent(api: TestClient, web_store: WebStore) -> None:
    web_store.put_devices("here", [device("gpu-0"), replace(device("gpu-1", kind="H100"), health="Xid 79")])
    assert "sick H100 gpu-1 of here : Xid 79" in text(api.get("/"))
    now = web_store.now()
    heard = {"here": 0.0, "there": 3600.0, "gone": 72 * 3600.0}
    devices = [replace(device("cpu", host=host), heartbeat_at=now - timedelta(seconds=s)) for host, s in heard.items()]
    assert list(morning._silent(devices, now)) == ["there"], "who is away for days was taken away"


def test_a_host_is_drained_and_given_back(browser: TestClient, web_store: WebStore) -> None:
    with_slots(web_store, 2)
    csrf, [device, *_] = form(browser), web_store.devices()
    browser.post("/fleet/drain", data={**csrf, "host": device.host})
    assert [(each.host, each.device, each.who) for each in web_store.drains()] == [(device.host, "", "tester")]
    assert "drained" in text(browser.get("/fleet"))
    browser.post("/fleet/undrain", data={**csrf, "host": device.host})
    assert web_store.drains() == []


def test_trials_are_chosen_and_sorted_in_the_database(web_store: WebStore, study: Study) -> None:
    def numbers(order: TrialOrder, *conditions: Condition) -> list[int]:
        return [each.number for each in web_store.trial_lines(study.id, order, conditions).lines]

    assert numbers(TrialOrder("score", down=True)) == [1, 2, 0, 3]
    assert numbers(TrialOrder("lr", down=True, skip=1, limit=2)) == [2, 1]
    assert numbers(TrialOrder("state")) == [3, 0, 1, 2]
    assert numbers(TrialOrder(), Condition("state", "=", "scored"), Condition("lr", ">=", "0.02", 0.02)) == [1, 2]
    assert numbers(TrialOrder(), Condition("state", "!=", "scored")) == [3]
    assert numbers(TrialOrder(), Condition("test", "<", "0.4", 0.4)) == [0, 2]
    assert numbers(TrialOrder(), Condition("x'; DROP TABLE trial", "=", "1", 1.0)) == []
    assert web_store.trial_lines(study.id, TrialOrder(limit=1)).of == 4
    assert [each.name for each in web_store.study_lines(StudyFilter(search="DIG"))] == ["digits"]
    assert web_store.study_lines(StudyFilter(search="%")) == []


def test_pictures_thin_out_what_is_long(web_store: WebStore, study: Study) -> None:
    assert [each.number for each in web_store.drawn_trials(study.id, limit=1)] == [0, 1]  # the default, and the best
    assert web_store.thinned_reports(study.id, [3], 2) == {3: [(0, 0.0), (2, 0.2), (4, 0.4)]}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("lr<0.01", [Condition("lr", "<", "0.01", 0.01)]),
        ("lr >= 1e-3, state=Scored", [Condition("lr", ">=", "1e-3", 1e-3), Condition("state", "=", "scored")]),
        ('fault != "user_bug" and lr==2', [Condition("fault", "!=", "user_bug"), Condition("lr", "=", "2", 2.0)]),
        ("", []),
    ],
)
def test_a_filter_is_read(given: str, found: list[Condition]) -> None:
    assert read_filter(given, {"lr", "state", "fault"}) == (found, "")


@pytest.mark.parametrize(
    ("given", "flaw"),
    [("lr", "cannot read"), ("lr<many", "many is no number"), ("colour=red", "no column"), ("lr<1 " * 13, "13")],
)
def test_a_wrong_filter_is_told(given: str, flaw: str) -> None:
    assert flaw in read_filter(given, {"lr"})[1]


def test_what_is_kept_is_made_once_until_it_is_old() -> None:
    now, made = [0.0], []

    def make(value: int) -> Callable[[], int]:
        return lambda: made.append(value) or value  # type: ignore[func-returns-value]

    kept = Kept(1.0, most=2, clock=lambda: now[0])
    assert [kept.get("a", make(1)), kept.get("a", make(2))] == [1, 1]
    now[0] = 1.5
    assert kept.get("a", make(3)) == 3
    kept.forget()
    assert kept.get("a", make(4)) == 4
    assert made == [1, 3, 4]
