"""Past tests decided again under other rules: on two real nights of flights (`make demo`, JFK)."""

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from celeriac.decide.gate import GateRules
from celeriac.decide.night.rescore import Changes, NightRecord, RescoredNight, counted_outcomes, rescore
from celeriac.domain.records import Champion, VerdictKind

ROWS = json.loads((Path(__file__).parent / "flights_jfk.json").read_text())
RULES = GateRules("minimize")


def verdict(row: dict[str, Any]) -> Champion:
    return Champion(**{**row, "kind": VerdictKind(row["kind"]), "decided_at": None})


def nights(where: str = "JFK") -> list[NightRecord]:
    """Oldest first."""
    return [record(row, row["study"][-10:], where) for row in reversed(ROWS)]


def record(row: dict[str, Any], night: str, where: str = "JFK", rules: GateRules = RULES) -> NightRecord:
    return NightRecord(night, datetime.fromisoformat(f"{row['study'][-10:]}T07:00Z"), where, verdict(row), rules)


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
    found = rescore([record(cut, "first"), *nights()[1:]], Changes(pairs=20))
    assert (found[0].would, found[0].run) == ("unknown", 4)
    assert "it would have asked for 6 pairs, and 4 were run" in found[0].reason
    assert found[1].parted == "since first the slice may have had another champion to beat"
    assert counted_outcomes(found)["unknown"] == 1


def test_a_record_of_another_version_is_not_judged() -> None:
    first, second = nights()
    gate = {**first.verdict.evidence["gate"], "version": 7}
    newer = replace(first.verdict, evidence={**first.verdict.evidence, "gate": gate})
    found = rescore([replace(first, verdict=newer), second], Changes(pairs=9))
    assert (found[0].was, found[0].would, found[0].run) == ("promote", "unknown", 13)
    assert "a gate's record of version 7 cannot be read here" in found[0].reason
    assert found[1].would == "promote"


def test_slices_spend_a_share_of_false_promotions_together() -> None:
    alone = rescore(nights(), Changes(fdr=0.1))
    both = rescore(sorted([*nights(), *nights("LGA")], key=lambda each: each.due_at), Changes(fdr=0.1), 2)
    assert [each.slice for each in both] == ["JFK", "LGA", "JFK", "LGA"]
    first = 0.05 * 0.3  # half of fdr is there, and a night spends 30 % of it
    assert [each.level for each in alone[:1]] == pytest.approx([first])
    assert [each.level for each in both[:2]] == pytest.approx([first / 2] * 2)
    second = (0.05 - first + 0.1 / 60) * 0.3 / 2  # none was promoted at that level
    assert [each.would == "promote" for each in both[:2]] == [False, False]
    assert [each.level for each in both[2:]] == pytest.approx([second] * 2)
    assert [each.level for each in rescore(nights(), Changes(no_fdr=True))] == pytest.approx([0.045, 0.045])


def test_a_night_without_a_test_stays_one_unless_less_is_asked_of_a_gain() -> None:
    strict = record(ROWS[0], "kept", rules=GateRules("minimize", min_gain=0.1))
    kept = replace(strict.verdict, evidence={}, promoted=False, reason="no test: less than min_gain 0.1")
    [same] = rescore([replace(strict, verdict=kept)], Changes(pairs=9))
    assert (same.was, same.would, same.reason) == ("", "", kept.reason)
    [asked_less] = rescore([replace(strict, verdict=kept)], Changes(min_gain=0.0))
    assert (asked_less.would, asked_less.reason) == ("unknown", f"no test was run: {kept.reason}")


def test_whoever_a_person_made_champion_is_champion_under_all_rules() -> None:
    first, second = nights()
    by_hand = replace(first, verdict=replace(first.verdict, kind=VerdictKind.BY_HAND, evidence={}))
    _, after = rescore([first, by_hand, second], Changes(min_gain=0.014))
    assert after.parted == ""
    approved = replace(by_hand, verdict=replace(by_hand.verdict, kind=VerdictKind.APPROVED))
    _, after = rescore([first, approved, second], Changes(min_gain=0.014))
    assert after.parted != ""
