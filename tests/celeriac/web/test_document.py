"""The OpenAPI document: each operation says what it answers, in shapes that are made from the records."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from celeriac.client import Client
from celeriac.domain.records import Scope
from celeriac.report.plain import plain
from celeriac.store import WebStore
from celeriac.store.tokens import make_token
from celeriac.web.schema import COMPONENTS, Form, Named, schema_of
from tests.celeriac.cli.played import PLAN, SPEC, played
from tests.celeriac.web.conftest import Ask
from tests.celeriac.web.document import Document

V1 = "/api/v1"


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Inner:
    at: datetime | None
    colours: tuple[Colour, ...]


@dataclass(frozen=True)
class Outer:
    number: int
    value: float
    pair: tuple[int, str]
    inner: Inner
    given: Mapping[str, Any]
    by_name: Mapping[str, int]


def test_a_schema_is_the_mirror_of_what_is_written() -> None:
    schema = schema_of(Outer)
    document = Document({"paths": {}, "components": {"schemas": COMPONENTS}})
    inner = Inner(datetime(2026, 1, 1, tzinfo=UTC), (Colour.RED,))
    value = plain(Outer(1, float("nan"), (1, "a"), inner, {"x": [1]}, {"a": 1}))
    assert document.flaws(schema, value) == []
    for wrong in (
        {**value, "number": 1.5},
        {**value, "value": "1.5"},
        {**value, "pair": [1]},
        {**value, "pair": ["a", 1]},
        {**value, "inner": {**value["inner"], "colours": ["green"]}},
        {**value, "by_name": {"a": "1"}},
        {name: each for name, each in value.items() if name != "given"},
    ):
        assert document.flaws(schema, wrong), wrong
    with pytest.raises(TypeError, match="no schema"):
        schema_of(complex)
    form = Form("OuterForm", Outer, ("inner",), {"more": [Form("OuterPart", more={"x": int})]}, {"maybe": Named(bool)})
    value = {**value, "more": [{"x": 1}]}
    del value["inner"]
    assert document.flaws(schema_of(form), value) == []
    assert document.flaws(schema_of(form), {**value, "maybe": {"a": 1}})
    with pytest.raises(TypeError, match="two shapes are called OuterForm"):
        schema_of(Form("OuterForm"))


def test_each_operation_says_what_it_answers(document: Document) -> None:
    count = 0
    for path, methods in document.made["paths"].items():
        for method, operation in methods.items():
            good = {status: each for status, each in operation["responses"].items() if status.startswith("2")}
            assert good, (method, path)
            for status, said in good.items():
                [content] = said["content"].values()
                assert content["schema"], (method, path, status)
                count += 1
    assert count >= 60


def test_who_may_not_is_told_so_before_what_is_there(document: Document, asked: Ask, web_store: WebStore) -> None:
    """Else a token with one scope could find out names by what it is refused for."""
    reader = asked(make_token(web_store, "reader", (Scope.READ,)))
    nobody = asked(make_token(web_store, "coder", (Scope.CODE,)))
    for path, methods in document.made["paths"].items():
        for method in methods:
            unknown = path.format(study="nobody", schedule="nothing", number=0, attempt=1, firing=1)
            client = nobody if method == "get" else reader
            if path == f"{V1}/me":
                continue
            body = None if method == "get" else _BODIES.get(path, {})
            answer = client.request(method, unknown, json=body)
            assert answer.status_code == 403, (method, path, answer.status_code, answer.text[:200])


_BODIES: dict[str, dict[str, Any]] = {
    f"{V1}/studies": {"yaml": "study: x"},
    f"{V1}/schedules": {"yaml": "study: x"},
    f"{V1}/fleet/drain": {"host": "x"},
    f"{V1}/fleet/undrain": {"host": "x"},
    f"{V1}/schedules/{{schedule}}/promote": {"study": "x", "trial": 1},
    f"{V1}/studies/{{study}}/points": {"points": [{}]},
}


def test_no_page_of_a_list_is_long(api: TestClient, app: FastAPI, web_store: WebStore) -> None:
    client: Client = app.state.client
    for n in range(6):
        client.open({**SPEC, "study": f"s{n}", "labels": {"note": "x" * 60_000}})
    path, seen, cursor = f"{V1}/studies", [], None
    while True:
        answer = api.get(path, params={"limit": 500, "spec": True, **({"cursor": cursor} if cursor else {})})
        assert len(answer.content) < 200_000
        seen += [each["name"] for each in answer.json()["items"]]
        cursor = answer.json()["next"]
        if cursor is None:
            break
    assert seen == [f"s{n}" for n in reversed(range(6))]


def test_a_trial_is_cut_to_the_fields_that_are_asked_for(api: TestClient, app: FastAPI) -> None:
    client: Client = app.state.client
    played(client, client.submit(SPEC), 0.5, 0.75)
    path = f"{V1}/studies/digits/trials"
    assert api.get(path, params={"fields": "score, state"}).json()["items"][1] == {
        "number": 1,
        "state": "SCORED",
        "score": 0.75,
    }
    assert set(api.get(path, params={"fields": "runs", "runs": True, "order": "score"}).json()["items"][0]) == {
        "number",
        "runs",
    }
    assert "no loss; known:" in api.get(path, params={"fields": "loss"}).json()["detail"]
    assert api.get(path, params={"after": 0}).json()["items"][0]["number"] == 1
    assert api.get(path, params={"after": 0, "order": "score"}).status_code == 422


def test_a_token_that_may_submit_sends_no_morning_anywhere(api: TestClient, asked: Ask, web_store: WebStore) -> None:
    spec: dict[str, Any] = {**SPEC, **PLAN}
    spec["schedule"] = {**PLAN["schedule"], "morning": {"url": "https://hooks.example/x"}}  # type: ignore[dict-item]
    submitter = asked(make_token(web_store, "submitter", (Scope.READ, Scope.SUBMIT)))
    refused = submitter.post(f"{V1}/schedules", json={"spec": spec})
    assert (refused.status_code, "needs the scope `operate`" in refused.json()["detail"]) == (403, True)
    assert web_store.schedules() == []
    assert api.post(f"{V1}/schedules", json={"spec": spec}).status_code == 201
