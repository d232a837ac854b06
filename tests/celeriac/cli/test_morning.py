"""`celeriac morning`: text, JSON and a page, of a night that is in Postgres."""

import json
from pathlib import Path

from celeriac.client import Client
from celeriac.decide.calendar import calendar_of, plan_of
from celeriac.decide.firing import firing_of
from celeriac.domain.firing_moves import FiringMove
from celeriac.domain.lifecycle import FiringEvent
from celeriac.store.firing import fire
from tests.celeriac.cli.played import NEW_YEAR, PLAN, SPEC, Celeriac


def a_night(client: Client) -> None:
    """Of two slices: one misses it, the other has only begun."""
    client.add_schedule({**SPEC, **PLAN})
    row = client.store.schedule("nightly")
    for slice_ in row.slices:
        made = fire(client.store, NEW_YEAR, firing_of(row, plan_of(calendar_of(row), slice_), slice_, NEW_YEAR))
        assert made is not None
        if slice_ == {"r": "eu"}:
            client.store.move_firing(made.id, made.turn, FiringMove(FiringEvent.MISS, "the service slept"))


def test_the_morning_is_told_as_text_and_as_json(celeriac: Celeriac, client: Client) -> None:
    a_night(client)
    ran = celeriac("morning", "nightly")
    assert ran.code == 0
    assert "nightly, night 2026-01-01: 1 due, 1 missed; not over yet" in ran.out
    assert "r=eu: missed: the service slept" in ran.out
    assert "celeriac schedule show nightly --slice r=eu" in ran.out
    [told] = json.loads(celeriac("morning", "--json").out)
    assert (told["schedule"], told["states"], told["is_over"]) == ("nightly", {"DUE": 1, "MISSED": 1}, False)
    assert [each["kind"] for each in told["attention"]] == ["missed"]
    assert json.loads(celeriac("morning", "nightly", "--night", "2026-01-01", "--json").out)[0]["night"] == "2026-01-01"


def test_the_last_nights_are_one_table(celeriac: Celeriac, client: Client) -> None:
    a_night(client)
    lines = celeriac("morning", "nightly", "--last", "3").out.splitlines()
    assert lines[0].split()[:6] == ["night", "slice", "outcome", "default", "champion", "tonight"]
    assert [line.split()[:3] for line in lines[1:3]] == [
        ["2026-01-01", "r=eu", "MISSED"],
        ["2026-01-01", "r=us", "DUE"],
    ]
    assert lines[-1] == "1 night: 1 due, 1 missed; 0 trials, 0.000 device-hours spent, 0.000 saved"
    [told] = json.loads(celeriac("morning", "nightly", "--last", "3", "--json").out)
    assert told["slices"][0]["holdout"] == {"default": None, "champion": None, "challenger": None}
    assert celeriac("morning", "--last", "3", "--night", "2026-01-01").code == 2
    assert celeriac("morning", "nightly", "--last", "0").code == 2


def test_the_page_is_written_where_it_is_asked_for(celeriac: Celeriac, client: Client, tmp_path: Path) -> None:
    a_night(client)
    assert celeriac("morning", "nightly", "--html", "night.html").out == "night.html\n"
    assert "the service slept" in (tmp_path / "night.html").read_text()
    nowhere = celeriac("morning", "nightly", "--html", "nowhere/night.html")
    assert (nowhere.code, "nowhere/night.html" in nowhere.err) == (2, True)
    assert "name the schedule" in " ".join(celeriac("morning", "--html", "night.html").err.split())


def test_before_the_first_night_and_for_a_night_that_was_none_it_says_so(celeriac: Celeriac, client: Client) -> None:
    client.add_schedule({**SPEC, **PLAN})
    none = celeriac("morning", "nightly")
    assert (none.code, "was never fired" in none.err) == (1, True)
    assert celeriac("morning", "nothing").code == 2
    a = celeriac("morning", "nightly", "--json")
    assert (a.code, json.loads(a.out)) == (1, [])
