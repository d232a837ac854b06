"""Whole studies side by side: over real rows, as a page and as data; what nobody can compare is refused in words."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from celeriac.client import Client, Study
from celeriac.store import WebStore
from tests.celeriac.cli.played import SPEC, played
from tests.celeriac.web.pages.test_pages import PAGE, text


@pytest.fixture
def client(app: FastAPI) -> Client:
    """The app's own client."""
    found: Client = app.state.client
    return found


@pytest.fixture
def studies(client: Client) -> list[Study]:
    """Two that maximize accuracy, one of them without a score, and one that minimizes loss."""
    made = [
        client.submit({**SPEC, "study": name, "code": str(client.settings.code_root), **more})
        for name, more in (
            ("one", {"budget": {"trials": 6}}),
            ("two", {"sampler": "random"}),
            ("none", {}),
            ("loss", {"metric": {"name": "loss", "goal": "minimize"}}),
        )
    ]
    played(client, made[0], 0.5, 0.4, 0.9, 0.7)
    played(client, made[1], 0.8)
    return made


@pytest.mark.usefixtures("studies")
def test_studies_stand_side_by_side(api: TestClient) -> None:
    asked = "?study=one&study=two&study=none"
    page = text(api.get(f"/compare{asked}"))
    assert "3 studies side by side All maximize accuracy" in page
    assert "best score 0.9 best 0.8 -" in page
    assert "worse than the best by - 0.1 -" in page
    assert "trials finished 4 of 6 1 of 3 0 of 3" in page
    assert "sampler auto random auto" in page
    assert "1 parameter differs" in page
    data = api.get(f"/compare.json{asked}").json()
    assert [each["name"] for each in data["studies"]] == ["one", "two", "none"]
    assert [[step[0], step[2]] for step in data["studies"][0]["steps"]] == [[1, 0.5], [3, 0.9]]
    assert data["studies"][1]["steps"][0][1] >= 0.0
    assert (data["goal"], data["metrics"], data["differing"]) == ("maximize", ["accuracy"], ["lr"])
    assert [each["params"].get("lr") for each in data["studies"]] == [pytest.approx(0.03), 0.01, None]


@pytest.mark.usefixtures("studies")
@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("", 422, "choose 2 to 8 studies in the list of studies; none are named"),
        ("?study=one", 422, "1 is named"),
        ("?study=one&study=one", 422, "1 is named"),
        ("?" + "&".join(f"study={k}" for k in range(9)), 422, "9 are named"),
        ("?study=one&study=loss", 422, "one is to maximize accuracy; loss is to minimize loss"),
        ("?study=one&study=nowhere", 404, "nowhere"),
    ],
)
def test_what_nobody_can_compare_is_refused(api: TestClient, query: str, status: int, said: str) -> None:
    refused = api.get(f"/compare{query}", headers=PAGE)
    assert (refused.status_code, said in refused.text) == (status, True)
    assert api.get(f"/compare.json{query}").json()["status"] == status


@pytest.mark.usefixtures("studies")
def test_they_are_chosen_in_the_list_from_which_a_study_leads_to_its_like(api: TestClient) -> None:
    page = api.get("/studies").text
    assert page.count('form="compare" name="study"') == 4
    assert 'href="/studies?beside=two"' in api.get("/studies/two").text
    beside = api.get("/studies?beside=two")
    assert "stand beside two" in text(beside)
    assert beside.text.count('form="compare" name="study"') == 2, "those of its goal and metric, without itself"
    assert '<input type="hidden" name="study" value="two">' in beside.text


def test_the_best_comes_about_in_the_order_of_ends(web_store: WebStore, studies: list[Study]) -> None:
    one, two, none, _ = studies
    found = web_store.best_steps([one.id, two.id, none.id])
    assert [(each.study_id, each.place, each.number, each.score) for each in found] == [
        (one.id, 1, 0, 0.5),
        (one.id, 3, 2, 0.9),
        (two.id, 1, 0, 0.8),
    ]
    assert web_store.best_steps([]) == []
