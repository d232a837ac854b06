"""The nights on the memory store: from stage to stage, each move once, whatever crashes and however many are at it."""

from dataclasses import replace
from typing import Any

import pytest

from celeriac.client.champions import approve, roll_back
from celeriac.decide.gate import recompute, write_decision
from celeriac.decide.night.paying import past_night
from celeriac.decide.pays import PaysDecision
from celeriac.domain.records import Fault, FiringState, Lease, Source, Stage, VerdictKind
from celeriac.store.api import AttemptEnd
from tests.coordinator.house import House
from tests.coordinator.nightlife import (
    BETTER,
    DEFAULT_LR,
    NO_BETTER,
    SPEC,
    another_seed,
    by_lr,
    failed,
    house_with,
    told,
    whole_night,
    with_champion,
    with_slices,
    with_spec,
)


def test_the_first_night_has_nothing_to_look_at_and_its_best_must_beat_the_default() -> None:
    house = house_with()
    firing = whole_night(house, BETTER)
    assert told(firing) == ["DUE", "SEARCHING", "CONFIRMING", "PROMOTED"]
    search, confirm = house.store.stage_studies([firing.id])
    assert (search.name, confirm.name) == (firing.name, f"{firing.name}/confirm")
    assert (search.spec["budget"], search.counts.finished) == ({"trials": 4}, 4)
    assert confirm.counts.finished == confirm.spec["budget"]["trials"] == confirm.next_number
    trials = house.store.trials(confirm.id)
    assert {t.source for t in trials} == {Source.DEFAULT, Source.CHALLENGER}
    assert len({t.seed for t in trials}) * 2 == len(trials)
    assert trials[0].seed == trials[1].seed
    assert trials[0].why["by"] == "the night"
    [champion] = house.store.champions("flights")
    assert (champion.trial, champion.params) == (search.best_number, trials[1].params)
    assert (champion.study_id, champion.firing_id, champion.before_id) == (search.id, firing.id, None)
    assert champion.reason == firing.reason


def test_the_record_of_a_promotion_is_enough_to_compute_it_again() -> None:
    house = with_champion()
    [champion] = house.store.champions("flights")
    again = recompute(champion.evidence["gate"])
    assert again.verdict == "promote"
    assert write_decision(again) == champion.evidence["gate"]
    confirm = house.store.study_named(champion.evidence["study"])
    for (old, new), pair in zip(champion.evidence["pairs"], again.pairs, strict=True):
        assert house.store.trial(confirm.id, old).score == pair.champion.score
        assert house.store.trial(confirm.id, new).holdout == pair.challenger.holdout


def test_a_later_night_looks_at_the_champion_first_and_keeps_it_when_nothing_beats_it() -> None:
    house = with_champion()
    [champion] = house.store.champions("flights")
    firing = whole_night(house, BETTER)
    assert told(firing) == ["DUE", "LOOKING", "SEARCHING", "KEPT"]
    assert "nothing beat the champion" in firing.reason
    look, search = house.store.stage_studies([firing.id])
    assert (look.name, look.spec["budget"], look.counts.scored) == (f"{firing.name}/look", {"trials": 1}, 1)
    assert house.store.trials(look.id)[0].params == champion.params
    assert search.stage is Stage.SEARCH
    assert house.store.champions("flights") == [champion]
    assert [each.promoted for each in house.store.verdicts("flights")] == [False, True]


def test_luck_in_the_search_is_not_promoted() -> None:
    kept = 0
    for seed in range(12):
        house = house_with()
        another_seed(house, seed)
        kept += whole_night(house, NO_BETTER).state is FiringState.KEPT
    assert kept >= 10, "the old rule promotes on nine nights of ten"


def test_a_better_challenger_takes_the_champions_place_and_the_line_says_so() -> None:
    house = with_champion()
    [old] = house.store.champions("flights")
    another_seed(house, 99)
    best: list[Any] = []

    def better_still(lease: Lease) -> AttemptEnd:
        end = BETTER(lease)
        if lease.params in (old.params, house.store.study(lease.study_id).spec["default"]):
            return end
        best.append(lease.params)
        assert end.score is not None
        return replace(end, score=end.score - 0.1, holdout=tuple(each - 0.1 for each in end.holdout))

    firing = whole_night(house, better_still)
    assert told(firing)[-2:] == ["CONFIRMING", "PROMOTED"]
    [new] = house.store.champions("flights")
    assert (new.before_id, new.firing_id) == (old.id, firing.id)
    assert new.params in best
    assert "against the champion (trial" in new.reason


def test_always_searches_without_a_look() -> None:
    house = with_champion(always=True)
    assert told(whole_night(house, BETTER))[:2] == ["DUE", "SEARCHING"]


def test_without_enough_blocks_two_nights_must_agree() -> None:
    house = house_with()
    few = by_lr(0.1, blocks=3)
    first = whole_night(house, few)
    assert first.state is FiringState.KEPT
    assert "a second night must agree" in first.reason
    [waiting] = house.store.verdicts("flights")
    second = whole_night(house, few)
    assert second.state is FiringState.PROMOTED
    assert "the contender (trial" in second.reason
    [champion] = house.store.champions("flights")
    assert (champion.params, champion.study) == (waiting.params, waiting.study)


def test_a_champion_that_fails_tonight_keeps_serving_and_a_person_decides() -> None:
    house = with_champion()
    [old] = house.store.champions("flights")
    another_seed(house, 99)

    def breaks_the_champion(lease: Lease) -> AttemptEnd:
        return failed() if lease.params == old.params else BETTER(lease)

    firing = whole_night(house, breaks_the_champion)
    assert told(firing) == ["DUE", "LOOKING", "SEARCHING", "CONFIRMING", "KEPT"]
    assert "it fails on tonight's data (no such column): trial 0 is to be beaten" in firing.steps[2]["reason"]
    assert "the champion keeps serving until a person approves" in firing.reason
    assert house.store.champions("flights") == [old]
    assert house.store.verdicts("flights")[0].awaits


def test_a_challenger_that_fails_is_not_promoted_on_the_pairs_that_are_left() -> None:
    house = house_with()
    ran: list[int] = []

    def fails_once(lease: Lease) -> AttemptEnd:
        if lease.source is Source.CHALLENGER:
            ran.append(lease.number)
            if len(ran) == 2:
                return failed(detail="loss is NaN")
        return BETTER(lease)

    firing = whole_night(house, fails_once)
    assert firing.state is FiringState.KEPT
    assert "fails with seed" in firing.reason
    assert "loss is NaN" in firing.reason


def test_a_pair_that_the_infrastructure_broke_is_run_with_another_seed() -> None:
    house = house_with()
    lost: list[int] = []

    def loses_one(lease: Lease) -> AttemptEnd:
        if lease.source is Source.CHALLENGER and not lost:
            lost.append(lease.number)
            return failed(Fault.INFRASTRUCTURE, "the host burnt down")
        return BETTER(lease)

    firing = whole_night(house, loses_one)
    assert told(firing)[-3:] == ["CONFIRMING", "CONFIRMING", "PROMOTED"]
    confirm = house.store.stage_studies([firing.id])[1]
    assert confirm.counts.failed == 1
    assert confirm.counts.finished == confirm.spec["budget"]["trials"] == confirm.next_number
    assert len(house.store.champions("flights")[0].evidence["gate"]["asked"]["pairs"]) * 2 == confirm.next_number - 2


def test_blocks_that_cannot_be_compared_end_the_night_and_nothing_is_promoted() -> None:
    house = house_with()

    def other_blocks(lease: Lease) -> AttemptEnd:
        end = BETTER(lease)
        return replace(end, holdout=end.holdout[:-1]) if lease.source is Source.CHALLENGER else end

    firing = whole_night(house, other_blocks)
    assert firing.state is FiringState.FAILED
    assert "hold-out blocks" in firing.reason
    assert house.store.champions("flights") == []


def test_a_gain_below_min_gain_is_worth_no_test() -> None:
    house = house_with(gate={"min_gain": 0.5})
    firing = whole_night(house, BETTER)
    assert told(firing) == ["DUE", "SEARCHING", "KEPT"]
    assert "less than min_gain 0.5" in firing.reason


def test_a_person_may_have_the_last_word() -> None:
    house = house_with(gate={"require_approval": True})
    firing = whole_night(house, BETTER)
    assert firing.state is FiringState.KEPT
    assert "a person's approval" in firing.reason
    [verdict] = house.store.verdicts("flights")
    assert (verdict.awaits, verdict.promoted) == (True, False)


def test_guards_may_veto() -> None:
    house = house_with(guard={"latency_ms": {"max": 20}})

    def slow(lease: Lease) -> AttemptEnd:
        return replace(BETTER(lease), metrics={"latency_ms": 30 if lease.source is Source.CHALLENGER else 10})

    firing = whole_night(house, slow)
    assert firing.state is FiringState.KEPT
    assert "guard latency_ms: 30 is not at most 20" in firing.reason


def test_over_many_slices_the_level_falls() -> None:
    slices = tuple({"airport": f"A{k}"} for k in range(4))
    house = house_with(slices=slices, gate={"fdr": 0.1})
    house.store.put_schedule(with_slices(house.store.schedule("flights"), airport=["A0", "A1", "A2", "A3"]))
    whole_night(house, BETTER)
    levels = [each.evidence["gate"]["said"]["level"] for each in house.store.verdicts("flights")]
    assert len(levels) == 4
    assert len(set(levels)) == 1
    assert levels[0] < 0.01
    [(spent, promoted)] = house.store.night_tallies("flights", house.clock())
    assert spent == pytest.approx(4 * levels[0])
    assert promoted == sum(each.promoted for each in house.store.verdicts("flights"))


def test_a_champion_made_by_hand_in_the_middle_of_the_night_is_not_overrun() -> None:
    house = house_with()
    by_hand: list[int] = []

    def while_it_confirms(lease: Lease) -> AttemptEnd:
        if lease.source is Source.CHALLENGER and not by_hand:
            search = house.store.study_named("flights/airport=JFK/2026-11-24")
            [draft] = [night_verdict(house, search.id)]
            by_hand.append(house.store.record_champion(draft).id)
        return BETTER(lease)

    firing = whole_night(house, while_it_confirms)
    assert firing.state is FiringState.KEPT
    assert "another champion since the test began" in firing.reason
    assert [each.id for each in house.store.champions("flights")] == by_hand


def night_verdict(house: House, study_id: int) -> Any:
    from celeriac.domain.records import Champion

    study, trial = house.store.study(study_id), house.store.trial(study_id, 0)
    return Champion(
        "flights",
        study.slice,
        study.id,
        study.name,
        0,
        trial.params,
        trial.score,
        None,
        {},
        True,
        "I know better",
        kind=VerdictKind.BY_HAND,
        who="ada",
    )


def test_tuning_is_skipped_while_it_does_not_pay_and_comes_back_when_the_champion_falls_behind() -> None:
    house, nights = house_with(), []
    for seed in range(10):
        another_seed(house, seed)
        nights.append(whole_night(house, BETTER))
    assert nights[1].steps[2]["pays"]["noise"] > 0, "the first night's pairs tell it"
    assert [each.state for each in nights[-3:]] == [FiringState.SKIPPED] * 3
    skipped = nights[-1]
    assert told(skipped) == ["DUE", "LOOKING", "SKIPPED"]
    assert "less than it costs; the champion stays trial" in skipped.reason
    assert skipped.steps[-1]["pays"]["action"] == "skip"
    assert skipped.steps[-1]["pays"]["saved_s"] > 0
    assert skipped.steps[-1]["device_s"] == 1.0
    assert len(house.store.stage_studies([skipped.id])) == 1
    [old] = house.store.champions("flights")

    def has_fallen(lease: Lease) -> AttemptEnd:
        end = BETTER(lease)
        assert end.score is not None
        if lease.params != old.params:
            return end
        return replace(end, score=end.score + 0.2, holdout=tuple(each + 0.2 for each in end.holdout))

    another_seed(house, 77)
    firing = whole_night(house, has_fallen)
    assert told(firing) == ["DUE", "LOOKING", "SEARCHING", "CONFIRMING", "PROMOTED"]
    assert firing.steps[-1]["after"] < 0.55, "the old one has 0.6 by now"


def test_what_a_nights_pairs_measured_is_told_to_later_nights() -> None:
    firing = whole_night(house_with(), NO_BETTER)
    gate = firing.steps[-1]["gate"]
    night = past_night(firing, 0.01)
    assert firing.state is FiringState.KEPT
    assert (night.action, night.promoted, night.gain) == ("full", False, gate["gain"])
    assert night.error == max(gate["error"], 0.01 * (2 / gate["pairs"]) ** 0.5)
    assert past_night(replace(firing, steps=firing.steps[:2])).gain is None
    older = [{key: value for key, value in step.items() if key != "gate"} for step in firing.steps[:-1]]
    older.append({**firing.steps[-1], "gate": {"pairs": 4, "gain": 0.1}})  # as steps were written without an error
    assert past_night(replace(firing, steps=tuple(older)), 0.01).error == pytest.approx(0.01 * 0.5**0.5)


def test_the_default_in_the_place_of_a_champion_that_fails_measures_nothing() -> None:
    house = with_champion()
    [old] = house.store.champions("flights")
    firing = whole_night(house, lambda lease: failed() if lease.params == old.params else BETTER(lease))
    assert "gate" in firing.steps[-1]
    assert past_night(firing).gain is None


def test_a_contender_that_waits_is_confirmed_without_a_search() -> None:
    house = with_champion()
    another_seed(house, 99)
    [old] = house.store.champions("flights")

    def better_with_few_blocks(lease: Lease) -> AttemptEnd:
        end = BETTER(lease)
        assert end.score is not None
        gain = 0.0 if lease.params in (old.params, SPEC["default"]) else 0.1
        return replace(end, score=end.score - gain, holdout=tuple(each - gain for each in end.holdout[:3]))

    first = whole_night(house, better_with_few_blocks)
    assert "a second night must agree" in first.reason
    second = whole_night(house, better_with_few_blocks)
    assert told(second) == ["DUE", "LOOKING", "CONFIRMING", "PROMOTED"]
    assert "a contender waits" in second.steps[2]["reason"]
    assert [study.stage for study in house.store.stage_studies([second.id])] == [Stage.LOOK, Stage.CONFIRM]


def test_a_small_search_has_a_third_of_the_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    house = with_champion()
    house.store.put_schedule(with_spec(house.store.schedule("flights"), budget={"trials": 18}))
    small = PaysDecision("small", "a small search pays more")
    monkeypatch.setattr("celeriac.decide.night.paying.decide_pays", lambda *_, **__: small)
    firing = whole_night(house, BETTER)
    search = house.store.stage_studies([firing.id])[1]
    assert (search.stage, search.spec["budget"], search.counts.finished) == (Stage.SEARCH, {"trials": 6}, 6)


def test_where_the_default_serves_it_is_looked_at_and_tuning_is_skipped_too() -> None:
    house, nights = house_with(), []
    for seed in range(12):
        another_seed(house, seed)
        nights.append(whole_night(house, NO_BETTER))
    assert house.store.champions("flights") == []
    assert told(nights[0])[1] == "SEARCHING"
    assert {told(each)[1] for each in nights[1:]} == {"LOOKING"}
    look = house.store.stage_studies([nights[1].id])[0]
    assert [(t.source, t.params["lr"]) for t in house.store.trials(look.id)] == [(Source.DEFAULT, DEFAULT_LR)]
    assert FiringState.SKIPPED in {each.state for each in nights}


def test_a_champion_whose_look_failed_and_that_works_in_the_search_is_the_one_to_beat() -> None:
    house = with_champion()
    another_seed(house, 99)
    [old] = house.store.champions("flights")

    def data_come_late(lease: Lease) -> AttemptEnd:
        end = BETTER(lease)
        if house.store.study(lease.study_id).stage is Stage.LOOK:
            return failed(detail="no data yet")
        assert end.score is not None
        gain = 0.0 if lease.params in (old.params, SPEC["default"]) else 0.1
        return replace(end, score=end.score - gain, holdout=tuple(each - gain for each in end.holdout))

    firing = whole_night(house, data_come_late)
    assert "it fails on tonight's data (no data yet)" in firing.steps[2]["reason"]
    assert firing.state is FiringState.PROMOTED
    assert "against the champion (trial" in firing.reason


def test_a_look_that_the_infrastructure_lost_says_nothing_of_the_champion() -> None:
    house = with_champion()

    def loses_the_look(lease: Lease) -> AttemptEnd:
        stage = house.store.study(lease.study_id).stage
        return failed(Fault.INFRASTRUCTURE, "the host burnt down") if stage is Stage.LOOK else BETTER(lease)

    firing = whole_night(house, loses_the_look)
    assert firing.steps[2]["reason"] == "the look ended without a score"
    assert not house.store.verdicts("flights")[0].awaits


def test_trainings_that_come_out_the_same_with_every_seed_have_nights_too() -> None:
    house = house_with()
    nights = [whole_night(house, by_lr(0.1, noise=0.0)) for _ in range(3)]
    assert [each.state for each in nights] == [FiringState.PROMOTED, FiringState.KEPT, FiringState.KEPT]


def test_what_a_person_rolled_back_comes_again_only_when_a_person_approves() -> None:
    house = with_champion(always=True)
    [old] = house.store.champions("flights")
    found: list[Any] = []

    def another_is_better(lease: Lease) -> AttemptEnd:
        end = BETTER(lease)
        if lease.params in (old.params, SPEC["default"]) or (found and lease.params != found[0]):
            return end
        found.append(lease.params)
        assert end.score is not None
        return replace(end, score=end.score - 0.1, holdout=tuple(each - 0.1 for each in end.holdout))

    another_seed(house, 99)
    assert whole_night(house, another_is_better).state is FiringState.PROMOTED
    roll_back(house.store, "flights", {"airport": "JFK"}, who="ann", reason="slow in production")
    again = whole_night(house, another_is_better)
    assert again.state is FiringState.KEPT
    assert again.reason.endswith("ann rolled these parameters back (slow in production): a person approves")
    assert house.store.champions("flights")[0].params == old.params
    approve(house.store, "flights", {"airport": "JFK"}, who="ann", reason="it is fast now")
    assert house.store.champions("flights")[0].params == found[0]
