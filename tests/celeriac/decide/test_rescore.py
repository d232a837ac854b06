"""Past tests decided again under other rules: on two real nights of flights (`make demo`, JFK)."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from celeriac.decide.gate import GateRules, NightTally
from celeriac.decide.night.rescore import Changes, NightRecord, RescoredNight, counted_outcomes, rescore
from celeriac.domain.records import Champion, VerdictKind

ROWS = json.loads((Path(__file__).parent / "flights_jfk.json").read_text())
RULES = GateRules("minimize")


def verdict(row: dict[str, Any]) -> Champion:
    return Champion(**{**row, "kind": VerdictKind(row["kind"]), "decided_at": None})


def nights(**more: Any) -> list[NightRecord]:
    """Oldest first."""
    return [NightRecord(row["study"][-10:], verdict(row), RULES, **more) for row in reversed(ROWS)]


def said(found: list[RescoredNight]) -> list[tuple[str, str, int]]:
    return [(each.was, each.would, each.pairs) for each in found]


def test_by_the_rules_that_there_were_each_night_is_what_it_was() -> None:
    found = rescore(nights(), Changes())
    assert said(found) == [("promote", "promote", 13), ("promote", "promote", 13)]
    for each, row in zip(found, reversed(ROWS), strict=True):
        gate = row["evidence"]["gate"]["said"]
        assert (each.gain, each.p, each.level) == (gate["gain"], gate["p"], gate["level"])
        assert (each.reason, each.run, each.caution, each.parted) == (gate["reason"], 13, "", "")
    assert counted_outcomes(found)["differ"] == 0


def test_a_shorter_test_ends_on_fewer_of_the_pairs_that_were_run() -> None:
    found = rescore(nights(), Changes(pairs=9))
    assert all(0 < each.pairs <= 9 for each in found)
    assert counted_outcomes(found)["pairs"] < counted_outcomes(found)["pairs_run"] == 26


def test_where_the_search_promised_too_little_there_is_no_test_and_later_nights_are_marked() -> None:
    first, second = rescore(nights(), Changes(min_gain=0.014))
    assert (first.would, first.pairs, first.gain) == ("keep", 0, None)
    assert "the model expects a gain of 0.0118983, less than min_gain 0.014" in first.reason
    assert first.parted == ""
    assert second.parted == "since 2013-11-05 the slice would have had another champion to beat"
    assert second.would == "promote"


def test_a_test_that_would_have_gone_on_is_not_decided() -> None:
    cut = json.loads(json.dumps(ROWS[1]))
    del cut["evidence"]["gate"]["asked"]["pairs"][4:]
    cut["evidence"]["gate"]["said"]["verdict"] = "keep"
    found = rescore([NightRecord("first", verdict(cut), RULES), *nights()[1:]], Changes(pairs=20))
    assert (found[0].would, found[0].run) == ("unknown", 4)
    assert "it would have asked for 6 pairs, and 4 were run" in found[0].reason
    assert found[1].parted == "since first the slice may have had another champion to beat"
    assert counted_outcomes(found)["unknown"] == 1


def test_a_share_of_false_promotions_asks_for_more_the_less_there_is_to_spend() -> None:
    poor = rescore(nights(tallies=(NightTally(0.04, 0),), slices=3), Changes(fdr=0.1))
    rich = rescore(nights(tallies=(NightTally(0.0, 3),), slices=3), Changes(fdr=0.1))
    assert [each.level for each in poor] < [each.level for each in rich]
    assert poor[0].would != "promote"
    assert poor[0].p is None or poor[0].level is None or poor[0].p > poor[0].level
    assert [each.level for each in rescore(nights(), Changes(no_fdr=True))] == pytest.approx([0.045, 0.045])


def test_a_night_without_a_test_stays_one_unless_less_is_asked_of_a_gain() -> None:
    kept = replace(verdict(ROWS[0]), evidence={}, promoted=False, reason="no test: less than min_gain 0.1")
    record = NightRecord("kept", kept, GateRules("minimize", min_gain=0.1))
    [same] = rescore([record], Changes(pairs=9))
    assert (same.was, same.would, same.reason) == ("", "", kept.reason)
    [asked_less] = rescore([record], Changes(min_gain=0.0))
    assert (asked_less.would, asked_less.reason) == ("unknown", f"no test was run: {kept.reason}")


def test_whoever_a_person_made_champion_is_champion_under_all_rules() -> None:
    by_hand = NightRecord("", replace(verdict(ROWS[0]), kind=VerdictKind.BY_HAND, evidence={}), RULES)
    first, second = nights()
    _, after = rescore([first, by_hand, second], Changes(min_gain=0.014))
    assert after.parted == ""
    approved = replace(by_hand, verdict=replace(by_hand.verdict, kind=VerdictKind.APPROVED))
    _, after = rescore([first, approved, second], Changes(min_gain=0.014))
    assert after.parted != ""
