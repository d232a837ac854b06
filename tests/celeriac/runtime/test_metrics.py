"""Metrics as Prometheus reads them; what the dashboard and the alerts name is there; JSON lines."""

import json
import logging
import re
from pathlib import Path

import pytest

from celeriac.domain.errors import StoreUnavailable
from celeriac.runtime.logs import JsonLines, about
from celeriac.runtime.metrics.serve import Collector, exposition
from celeriac.runtime.metrics.table import BY_NAME, METRICS, PREFIX
from celeriac.runtime.metrics.tally import Tallies

ROOT = Path(__file__).parents[3]


def told(collector: Collector) -> dict[str, float]:
    lines = exposition(collector)[0].decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(PREFIX)}


def test_counts_gauges_and_histograms_are_told() -> None:
    tallies = Tallies()
    tallies.add("turns_total")
    tallies.add("turns_total", 2)
    tallies.set("node_slots", 3, "up")
    tallies.observe("suggestion_seconds", 0.03)
    tallies.observe("suggestion_seconds", 500)
    found = told(Collector(lambda: [("trials", ("SCORED",), 7.0)], tallies))
    assert found["celeriac_turns_total"] == 3
    assert found['celeriac_node_slots{state="up"}'] == 3
    assert found['celeriac_trials{state="SCORED"}'] == 7
    assert found['celeriac_suggestion_seconds_bucket{le="0.05"}'] == 1
    assert found['celeriac_suggestion_seconds_bucket{le="+Inf"}'] == found["celeriac_suggestion_seconds_count"] == 2
    assert found["celeriac_suggestion_seconds_sum"] == pytest.approx(500.03)
    with pytest.raises(ValueError, match="has the labels"):
        tallies.add("node_slots")
    with pytest.raises(KeyError):
        tallies.add("never_heard_of")


def test_a_program_tells_its_counts_from_the_start() -> None:
    assert told(Collector(tallies=Tallies(), program="clock")) == {
        "celeriac_leases_lost_total": 0,
        "celeriac_tickets_resent_total": 0,
    }
    found = told(Collector(tallies=Tallies(), program="drive"))
    assert found["celeriac_suggestion_seconds_count"] == found['celeriac_suggestion_seconds_bucket{le="+Inf"}'] == 0


def test_rows_are_read_once_for_scrapes_that_come_together_and_left_out_while_the_store_is_away() -> None:
    read: list[int] = []

    def rows() -> list[tuple[str, tuple[str, ...], float]]:
        read.append(1)
        return [("queue_depth", (), 4.0)]

    collector = Collector(rows, Tallies())
    assert told(collector)["celeriac_queue_depth"] == told(collector)["celeriac_queue_depth"] == 4
    assert len(read) == 1

    def away() -> list[tuple[str, tuple[str, ...], float]]:
        raise StoreUnavailable("Postgres does not answer")

    assert told(Collector(away, Tallies())) == {}


def test_what_dashboard_alerts_and_the_page_name_is_there() -> None:
    folder = ROOT / "deploy" / "prometheus"
    named = {
        name: set(re.findall(rf"{PREFIX}([a-z_]+)", (folder / name).read_text()))
        for name in ("alerts.yml", "dashboard.json")
    }
    known = {*BY_NAME, *(f"{each.name}_{end}" for each in METRICS for end in ("bucket", "sum", "count"))}
    assert {name: sorted(found - known) for name, found in named.items()} == {"alerts.yml": [], "dashboard.json": []}
    assert len(named["alerts.yml"]) > 8
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    assert [each.name for each in METRICS if f"`{PREFIX}{each.name}`" not in page] == []
    json.loads((folder / "dashboard.json").read_text())


def test_what_a_program_tells_is_counted_somewhere() -> None:
    sources = [path.read_text() for room in ("coordinator", "worker") for path in (ROOT / room).rglob("*.py")]
    counted = {name for source in sources for name in re.findall(r'TALLIES\.(?:add|set|observe)\("(\w+)"', source)}
    assert counted == {each.name for each in METRICS if each.of != "rows"}


def test_json_lines_say_what_they_are_about() -> None:
    form = JsonLines("drive@here")

    def line(text: str) -> dict[str, object]:
        found = json.loads(form.format(logging.LogRecord("x", logging.INFO, "", 0, text, (), None)))
        assert isinstance(found, dict)
        return found

    with about(study=7):
        with about(trial=3, attempt=1):
            found = line('a "quoted" line\nof two')
        assert line("later")["trial"] is None
    assert (found["study"], found["trial"], found["attempt"], found["program"]) == (7, 3, 1, "drive@here")
    assert found["text"] == 'a "quoted" line\nof two'
    with about(whole_process=True, study=9, trial=1, attempt=2):
        assert line("in a slot")["attempt"] == 2
    assert line("outside")["study"] is None
