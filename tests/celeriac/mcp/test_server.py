"""The tools as an agent calls them, over the protocol, on studies that are played."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from celeriac.client import Client
from celeriac.mcp.server import Door, server_of
from celeriac.runtime.settings import Settings
from tests.celeriac.cli.played import CODE, PLAN, SPEC, closed, leased, played
from tests.celeriac.store.scenes import failed

Call = Callable[..., Any]


class Refused(Exception):
    """The tool answered with an error."""


@pytest.fixture
def client(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(CODE)
    with Client(settings) as opened:
        yield opened


@pytest.fixture
def call(settings: Settings, client: Client) -> Iterator[Call]:
    """Call one tool; its answer, read, or Refused with its words."""
    import mcp

    door = Door(lambda: settings)
    server = server_of(door)

    async def ask(name: str, arguments: dict[str, Any]) -> Any:
        async with mcp.Client(server) as agent:
            if name == "tools":
                return (await agent.list_tools()).tools
            return await agent.call_tool(name, arguments)

    def answer(name: str, **arguments: Any) -> Any:
        found = asyncio.run(ask(name, arguments))
        if name == "tools":
            return found
        [text] = found.content
        if found.is_error:
            raise Refused(text.text)
        return json.loads(text.text)

    yield answer
    door.close()


def test_at_most_twelve_tools_each_with_a_word_on_every_argument(call: Call) -> None:
    tools = call("tools")
    of_studies, of_nights = "submit status why trials compare add_points stop logs", "morning schedule champion approve"
    assert {each.name for each in tools} == {*of_studies.split(), *of_nights.split()}
    for each in tools:
        assert each.description
        schema = each.input_schema
        words = [name for name, about in schema.get("properties", {}).items() if not about.get("description")]
        assert [word for word in words if word not in ("what", "limit")] == [], each.name
    assert len(json.dumps([each.model_dump(exclude_none=True, mode="json") for each in tools])) < 14_000


def test_a_study_from_dry_run_to_the_reason_of_a_failure(call: Call, client: Client) -> None:
    found = call("submit", spec={**SPEC, "budget": {"trials": 20}}, dry_run=True)
    assert (found["name_is"], found["first_points"][0]) == ("free", {"lr": 0.01})
    assert len(found["first_points"]) == 5
    assert "no trial of train:objective has finished yet" in found["cost"]["unknown"]
    assert client.studies() == []

    name = call("submit", spec={**SPEC, "budget": {"trials": 20}})["study"]
    study = client.study(name)
    played(client, study, 0.5, 0.7)
    lease = leased(client, study)
    client.store.finish_attempt(lease.token, failed(log_tail="step 1\nstep 2\n", traceback="ValueError: no"))
    told = call("status", study=name)
    assert told["best"] == {"trial": 1, "accuracy": 0.7}
    assert told["counts"] == {"scored": 2, "failed": 1}
    assert [each["trial"] for each in call("trials", study=name, sort="best", limit=1)["trials"]] == [1]
    [bad] = call("trials", study=name, state="failed")["trials"]
    assert "mend the objective" in bad["advice"]
    assert call("logs", study=name, trial=bad["trial"], lines=1)["lines"] == "step 2"
    assert call("trials", study=name, trial=2)["attempts"][0]["outcome"] == "fault"
    assert call("compare", study=name, trials=[0, 1])["best"] == "1"
    added = call("add_points", study=name, points=[{"lr": 0.05}], reason="a guess")
    assert added["trials"] == [3]
    assert call("why", study=name, trial=3)["who"] == "an agent"
    cost = call("submit", spec={**SPEC, "study": "more"}, dry_run=True)["cost"]
    assert (cost["from_studies"], cost["trial_s"]) == (1, pytest.approx(4 / 3, rel=1e-3))
    assert call("stop", study=name, reason="enough")["state"] == "STOPPED"


def test_errors_name_the_next_step(call: Call, client: Client) -> None:
    study = client.submit(SPEC)
    played(client, study, 0.5)
    for name, arguments, words in (
        ("status", {"study": "digit"}, "nearest: digits"),
        ("trials", {"study": "digits", "state": "broken"}, "known: WAITING"),
        ("submit", {}, "either `file`"),
        ("submit", {"spec": {**SPEC, "seed": 3}}, "seed: "),
        ("stop", {"study": "digits", "how": "extend"}, "'+20'"),
        ("stop", {"study": "digits", "how": "resume"}, "RUNNING"),
        ("add_points", {"study": "digits", "points": [{"lr": 7}]}, "lr"),
        ("logs", {"study": "digits", "trial": 9}, "no trial 9"),
        ("compare", {"study": "digits", "trials": [0]}, "two or more"),
        ("morning", {}, "schedule(what='add'"),
        ("schedule", {"what": "fire"}, "needs `name`"),
        ("champion", {"schedule": "nightly"}, "nightly"),
        ("approve", {"answer": "promote"}, "`study` and `trial`"),
    ):
        with pytest.raises(Refused) as told:
            call(name, **arguments)
        assert words in str(told.value), (name, str(told.value))
    closed(client, study)
    assert call("stop", study="digits", how="extend", trials="+2")["budget"] == 5


def test_answers_are_small(call: Call, client: Client) -> None:
    study = client.submit({**SPEC, "budget": {"trials": 60}})
    played(client, study, *(k / 50 for k in range(40)))
    for name, arguments in (("status", {}), ("status", {"study": "digits"}), ("trials", {"study": "digits"})):
        assert len(json.dumps(call(name, **arguments))) < 2500, name
    lease = leased(client, study)
    wordy = failed(log_tail="x" * 60_000 + "end", traceback="y" * 20_000)
    client.store.finish_attempt(lease.token, replace(wordy, detail="z" * 2000))
    told = call("logs", study="digits", trial=40)
    assert (len(told["lines"]), told["lines"][-3:], len(told["traceback"])) == (6000, "end", 6000)
    assert "last 6000 characters" in told["cut"]
    assert len(json.dumps(call("trials", study="digits", limit=1))) < 1000
    assert len(call("trials", study="digits", trial=40)["detail"]) == 2000


def test_a_list_tells_how_many_there_are_of_what_was_asked_for(call: Call, client: Client) -> None:
    for name in ("one", "two"):
        played(client, client.submit({**SPEC, "study": name, "budget": {"trials": 9}}), 0.5, 0.6, 0.7)
    study = client.study("one")
    client.store.finish_attempt(leased(client, study).token, failed())
    assert [call("trials", study="one", limit=1, **each)["of"] for each in ({}, {"state": "FAILED"})] == [4, 1]
    assert call("trials", study="one", sort="best", limit=2)["of"] == 3
    with pytest.raises(Refused, match="leave `state` 'FAILED' out"):
        call("trials", study="one", sort="best", state="FAILED")
    assert call("status", limit=1)["more"] is True
    assert "more" not in call("status")


def test_a_schedule_is_replaced_by_another_file(call: Call, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(json.dumps({**SPEC, **PLAN}))
    call("schedule", what="add", file=str(plan))
    plan.write_text(json.dumps({**SPEC, **PLAN, "budget": {"trials": 5}}))
    with pytest.raises(Refused, match=r"budget\.trials: 3 -> 5"):
        call("schedule", what="add", file=str(plan))
    assert call("schedule", what="replace", file=str(plan))["schedule"] == "nightly"
