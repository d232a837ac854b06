"""The proof that nights are exact, at a small size; and that its audit sees what it is there to see."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from benchmarks.nights.audit import (
    MANY,
    wrong_budget,
    wrong_deadlines,
    wrong_deliveries,
    wrong_firings,
    wrong_promotions,
)
from benchmarks.nights.crashing import Weather
from benchmarks.nights.exact import audit, broken, measure
from benchmarks.nights.house import NAME, NightHouse
from benchmarks.nights.killed import broken as killed_broken
from benchmarks.nights.killed import measure as killed_measure
from benchmarks.nights.virtual import virtual_postgres
from celeriac.decide.publication import place_of
from celeriac.domain.records import FiringState


def test_nights_are_exact_whatever_crashes() -> None:
    found = measure(slices=4, nights=3, seed=3)
    assert found["wrong"] == []
    assert sum(found["firings"].values()) == sum(found["deadlines"][each] for each in ("met", "missed")) == 12
    assert found["weights"]
    assert found["promotions"] > 0
    assert len(found["struck"]) >= 6, "kinds of faults"


@pytest.mark.proof
def test_real_programs_are_killed_and_nights_stay_exact() -> None:
    found = killed_measure(12.0, back=2)
    assert [each for each in killed_broken(found) if "no publisher was killed" not in each] == []
    assert found["promotions"] > 0
    assert found["reads"] > 0


@pytest.fixture(scope="module")
def smooth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NightHouse]:
    """Two slices' first two nights without any fault."""
    calm = Weather(Random(1), dies=0, cut=0, lost=0, doubled=0, refused=0, killed=0, infrastructure=0, hook_fails=0)
    with virtual_postgres() as url:
        house = NightHouse(url, tmp_path_factory.mktemp("smooth"), calm, slices=3, slots=4, seed=3)
        house.night(0)
        house.night(1)
        yield house
        house.close()


def test_smooth_nights_have_nothing_wrong_and_the_same_bars(smooth: NightHouse) -> None:
    found = audit(smooth, 2)
    assert found["wrong"] == []
    assert smooth.weather.done == {}
    assert broken({**found, "wrong": ["this"]})[0] == "this"
    assert "the longest wait until its night's end" in broken({**found, "end_s": {"ratio": 1.6}})[0]
    assert "the longest wait until its first trial" in " ".join(broken({**found, "start_s": {"ratio": 1.6}}))
    assert "of no use" in " ".join(broken({**found, "weights": {"heavy_end_s": 2, "light_end_s": 1}}))


def test_the_audit_sees_a_firing_that_is_lost_doubled_or_stuck(smooth: NightHouse) -> None:
    made = smooth.real.firings(NAME, limit=MANY)
    studies = smooth.real.stage_studies([each.id for each in made])
    wanted = {(place_of("", each.slice), each.due_at) for each in made}
    assert wrong_firings(made, studies, wanted) == []
    assert "was never fired" in wrong_firings(made[1:], studies, wanted)[0]
    assert "was fired 2 times" in wrong_firings([*made, made[0]], studies, wanted)[0]
    assert (
        "was not due" in wrong_firings(made, studies, {(place_of("", each.slice), each.due_at) for each in made[1:]})[0]
    )
    stuck = replace(made[0], state=FiringState.CONFIRMING)
    assert "CONFIRMING" in wrong_firings([stuck, *made[1:]], studies, wanted)[0]
    assert "has 2 studies" in wrong_firings(made, [*studies, studies[0]], wanted)[0]


def test_the_audit_sees_a_deadline_that_passed_in_silence(smooth: NightHouse) -> None:
    [firing, *_] = smooth.real.firings(NAME, limit=MANY)
    took_s = (firing.entered_at - firing.due_at).total_seconds()
    assert wrong_deadlines([firing], took_s) == []
    assert "never announced" in wrong_deadlines([firing], took_s - 60)[0]
    told = {"state": "SEARCHING", "at": (firing.due_at + timedelta(seconds=took_s - 61)).isoformat(), "late": True}
    in_time = replace(firing, steps=(*firing.steps, told))
    assert wrong_deadlines([in_time], took_s - 60) == []
    assert "and that was announced at" in wrong_deadlines([in_time], took_s - 62)[0]


def test_the_audit_sees_a_promotion_that_is_lost_doubled_or_out_of_line(smooth: NightHouse) -> None:
    made, verdicts = smooth.real.firings(NAME, limit=MANY), smooth.real.verdicts(NAME, limit=MANY)
    promoted = [each for each in verdicts if each.promoted]
    assert promoted
    assert wrong_promotions(made, verdicts) == []
    without = [each for each in verdicts if each is not promoted[0]]
    assert "promoted 0 times" in wrong_promotions(made, without)[0]
    assert any("2 verdicts" in each for each in wrong_promotions(made, [*verdicts, promoted[0]]))
    astray = [*without, replace(promoted[0], before_id=999)]
    assert any("follows 999" in each for each in wrong_promotions(made, astray))


def test_the_audit_sees_a_hook_that_was_told_of_another_version_and_one_that_never_ran(
    smooth: NightHouse, tmp_path: Path
) -> None:
    verdicts = smooth.real.verdicts(NAME, limit=MANY)
    [first, *others] = sorted(smooth.told.iterdir())
    assert wrong_deliveries(smooth.real, NAME, smooth.artefacts, smooth.told, verdicts) == []
    said = json.loads(first.read_text())
    (tmp_path / first.name).write_text(json.dumps({**said, "params": {"x": 0.0}}))
    wrong = wrong_deliveries(smooth.real, NAME, smooth.artefacts, tmp_path, verdicts)
    assert "was told of" in wrong[0]
    assert sum("never ran" in each for each in wrong) == len(others)


def test_the_audit_sees_a_trial_too_many(smooth: NightHouse) -> None:
    [study, *_] = smooth.real.stage_studies([smooth.real.firings(NAME)[0].id])
    assert wrong_budget(smooth.real, study) == []
    more = replace(study, counts=replace(study.counts, scored=study.counts.scored + 1), device_s=study.device_s + 1)
    said = " ".join(wrong_budget(smooth.real, more))
    assert "trials finished" in said
    assert "counted as scored" in said
    assert "device-seconds" in said
