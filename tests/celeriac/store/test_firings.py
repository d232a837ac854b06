"""The contract on firings and champions, kept by both stores: a firing happens once, however often it is tried, and a
move is written whole or not at all.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from celeriac.decide.night.paying import past_night
from celeriac.decide.pays import PastNight
from celeriac.domain.errors import DuplicateStudy, IllegalTransition, StaleTurn, UnknownSchedule, UnknownStudy
from celeriac.domain.firing_moves import FiringMove
from celeriac.domain.lifecycle import FiringEvent, StudyEvent
from celeriac.domain.records import Firing, FiringState, Source, Stage, StudyState, Suggestion, TrialState, VerdictKind
from celeriac.store import Store
from celeriac.store.firing import move as move_under_a_free_name
from tests.celeriac.store.scenes import NOON, due, leased, new_study, opening, schedule, scored, searching, verdict

TOMORROW = NOON + timedelta(days=1)


def night(name: str, region: str = "eu") -> dict[str, Any]:
    return {"name": name, "schedule": "nightly", "slice": {"region": region, "year": 2026}}


def points(count: int, lr: float = 0.1, source: Source = Source.CHAMPION) -> list[Suggestion]:
    return [Suggestion({"lr": lr}, source, {"by": "the gate", "pair": k}) for k in range(count)]


def looking(store: Store, count: int = 1) -> Firing:
    firing = due(store)
    opened = opening(store, firing, Stage.LOOK, *points(count))
    return store.move_firing(firing.id, 0, FiringMove(FiringEvent.LOOK, "the champion first", opened))


def test_a_firing_is_made_once(any_store: Store) -> None:
    firing = any_store.fire(NOON, new_study(**night("nightly-eu-1"), code_root="/code", fingerprint="abc"))
    assert firing is not None
    assert (firing.name, firing.schedule, firing.slice) == ("nightly-eu-1", "nightly", {"region": "eu", "year": 2026})
    assert (firing.state, firing.turn, firing.due_at) == (FiringState.DUE, 0, NOON)
    plan = any_store.firing_plan(firing.id)
    assert plan == new_study(
        **night("nightly-eu-1"), code_root="/code", fingerprint="abc", due_at=NOON, firing_id=firing.id
    )
    reordered: dict[str, Any] = {"name": "other", "schedule": "nightly", "slice": {"year": 2026, "region": "eu"}}
    assert any_store.fire(NOON, new_study(**reordered)) is None
    next_night = any_store.fire(TOMORROW, new_study(**night("nightly-eu-2")))
    us = any_store.fire(NOON, new_study(**night("nightly-us-1", "us")))
    assert next_night is not None
    assert us is not None
    assert [each.id for each in any_store.firings("nightly")] == [next_night.id, us.id, firing.id]
    assert any_store.firings("nightly", limit=1)[0].due_at == TOMORROW
    assert any_store.firings_to_move() == sorted([firing.id, next_night.id, us.id])
    assert any_store.firing(us.id) == us
    assert any_store.studies() == []
    for unknown in (any_store.firing, any_store.firing_plan):
        with pytest.raises(UnknownSchedule, match="no firing has the id 999"):
            unknown(999)


def test_firings_by_hand_and_the_clocks_own_share_a_due_time(any_store: Store) -> None:
    names = [f"nightly-eu-{k}" for k in range(3)]
    made = [any_store.fire(NOON, new_study(**night(name)), by_hand=k) for k, name in enumerate(names)]
    assert all(made)
    assert any_store.fire(NOON, new_study(**night("again")), by_hand=1) is None
    assert [each.by_hand for each in any_store.firings("nightly")] == [2, 1, 0]
    any_store.fire(NOON, new_study(**night("noted")), by_hand=3, note="a name was taken\0")
    assert any_store.firings("nightly", limit=1)[0].note == "a name was taken\ufffd"


def test_a_firing_whose_name_is_taken_leaves_no_trace(any_store: Store) -> None:
    any_store.create_study(new_study("nightly-eu-1"))
    with pytest.raises(DuplicateStudy, match="nightly-eu-1"):
        any_store.fire(NOON, new_study(**night("nightly-eu-1")))
    assert any_store.firings("nightly") == []
    assert any_store.fire(NOON, new_study(**night("nightly-eu-1b"))) is not None
    with pytest.raises(DuplicateStudy, match="nightly-eu-1b"):
        any_store.fire(TOMORROW, new_study(**night("nightly-eu-1b")))


def test_many_clocks_fire_once(any_store: Store) -> None:
    made: list[int] = []

    def fire(k: int) -> None:
        firing = any_store.fire(NOON, new_study(**night("nightly-1" if k % 2 else f"nightly-{k}")))
        if firing is not None:
            made.append(firing.id)

    at_once(fire)
    assert len(made) == len(any_store.firings("nightly")) == 1


def test_a_move_opens_its_stage_and_is_told(any_store: Store) -> None:
    firing = looking(any_store, 2)
    assert (firing.state, firing.turn, firing.reason) == (FiringState.LOOKING, 1, "the champion first")
    assert [(each["state"], each["reason"]) for each in firing.steps] == [
        ("DUE", ""),
        ("LOOKING", "the champion first"),
    ]
    assert any_store.firings_to_move() == []
    [study] = any_store.stage_studies([firing.id])
    assert (study.name, study.stage, study.firing_id) == (f"{firing.name}/look", Stage.LOOK, firing.id)
    assert (study.schedule, study.slice, study.due_at) == ("nightly", {"region": "eu"}, NOON)
    assert study.spec["budget"] == {"trials": 2}
    assert (study.state, study.counts.waiting, study.next_number) == (StudyState.OPEN, 2, 2)
    trials = any_store.trials(study.id)
    assert [(t.params, t.source, t.state, t.why["pair"]) for t in trials] == [
        ({"lr": 0.1}, Source.CHAMPION, TrialState.WAITING, pair) for pair in (0, 1)
    ]
    any_store.move_study(study.id, StudyEvent.STOP, "enough")
    assert any_store.firings_to_move() == [firing.id]


def test_a_move_that_somebody_made_is_not_made_again(any_store: Store) -> None:
    firing = looking(any_store)
    search = FiringMove(FiringEvent.SEARCH, "go", opening(any_store, firing))
    with pytest.raises(StaleTurn, match=f"firing {firing.name} is LOOKING at turn 1, this move was decided at turn 0"):
        any_store.move_firing(firing.id, 0, search)
    with pytest.raises(IllegalTransition, match="is LOOKING: it cannot promote"):
        any_store.move_firing(firing.id, 1, FiringMove(FiringEvent.PROMOTE, "no"))
    with pytest.raises(UnknownSchedule):
        any_store.move_firing(999, 1, search)
    assert len(any_store.stage_studies([firing.id])) == 1
    assert any_store.firing(firing.id) == firing


def test_many_coordinators_at_one_move_make_it_once(any_store: Store) -> None:
    firing = due(any_store)
    search = FiringMove(FiringEvent.SEARCH, "go", opening(any_store, firing))
    won: list[int] = []

    def move(k: int) -> None:
        try:
            won.append(any_store.move_firing(firing.id, 0, search).turn)
        except StaleTurn:
            won.append(0)

    at_once(move)
    assert sorted(won) == [0, 0, 0, 0, 0, 1]
    assert len(any_store.stage_studies([firing.id])) == 1
    [study] = any_store.stage_studies([firing.id])
    any_store.move_study(study.id, StudyEvent.STOP, "enough")
    given = FiringMove(FiringEvent.CONFIRM, "", opening(any_store, firing, Stage.CONFIRM, *points(4)))
    any_store.move_firing(firing.id, 1, given)
    more = FiringMove(FiringEvent.MORE, "", opening(any_store, firing, Stage.CONFIRM, *points(2)))
    won.clear()

    def give(_: int) -> None:
        try:
            won.append(any_store.move_firing(firing.id, 2, more).turn)
        except StaleTurn:
            won.append(0)

    at_once(give)
    assert sorted(won) == [0, 0, 0, 0, 0, 3]
    assert any_store.stage_studies([firing.id])[1].next_number == 6


def test_a_stage_whose_name_is_taken_is_not_opened_half(any_store: Store) -> None:
    firing = due(any_store)
    any_store.create_study(new_study(firing.name))
    search = FiringMove(FiringEvent.SEARCH, "go", opening(any_store, firing))
    with pytest.raises(DuplicateStudy):
        any_store.move_firing(firing.id, 0, search)
    assert any_store.firing(firing.id) == firing
    assert move_under_a_free_name(any_store, firing, search).state is FiringState.SEARCHING
    assert [study.name for study in any_store.stage_studies([firing.id])] == [f"{firing.name}-2"]


def test_a_closed_stage_goes_on_with_the_points_that_it_is_given(any_store: Store) -> None:
    firing = looking(any_store, 1)
    [study] = any_store.stage_studies([firing.id])
    any_store.move_study(study.id, StudyEvent.START, "")
    any_store.queue_trials(study.id, any_store.study(study.id).turn, [0])
    any_store.finish_attempt(leased(any_store, study, 0).token, scored(0.5))
    any_store.move_study(study.id, StudyEvent.FINISH, "done")
    confirm = FiringMove(FiringEvent.CONFIRM, "", opening(any_store, firing, Stage.CONFIRM, *points(4)))
    firing = any_store.move_firing(firing.id, 1, confirm)
    pairs = any_store.stage_studies([firing.id])[1]
    any_store.move_study(pairs.id, StudyEvent.STOP, "all four are through")
    more = FiringMove(FiringEvent.MORE, "too close", opening(any_store, firing, Stage.CONFIRM, *points(2, 0.3)))
    firing = any_store.move_firing(firing.id, 2, more)
    assert (firing.state, firing.turn) == (FiringState.CONFIRMING, 3)
    after = any_store.study(pairs.id)
    assert (after.state, after.reason, after.ended_at) == (StudyState.RUNNING, "too close", None)
    assert (after.spec["budget"], after.counts.waiting, after.next_number) == ({"trials": 6}, 2, 6)
    assert [t.params["lr"] for t in any_store.trials(pairs.id, states=[TrialState.WAITING])] == [0.3, 0.3]
    assert after.turn > pairs.turn
    assert len(any_store.stage_studies([firing.id])) == 2


def test_a_promotion_is_written_with_its_move_or_not_at_all(any_store: Store) -> None:
    study = searching(any_store)
    other = searching(any_store, due_at=TOMORROW)
    assert study.firing_id is not None
    assert other.firing_id is not None
    for each in (study, other):
        firing = any_store.firing(each.firing_id or 0)
        any_store.move_firing(firing.id, 1, FiringMove(FiringEvent.CONFIRM, "", opening(any_store, firing)))
    first = FiringMove(FiringEvent.PROMOTE, "it is better", verdict=verdict(study, promoted=True), evidence={"p": 0.01})
    moved = any_store.move_firing(study.firing_id, 2, first)
    assert (moved.state, moved.steps[-1]["p"]) == (FiringState.PROMOTED, 0.01)
    [champion] = any_store.champions("nightly")
    assert (champion.firing_id, champion.before_id) == (study.firing_id, None)
    late = FiringMove(FiringEvent.PROMOTE, "better than none", verdict=verdict(other, promoted=True))
    with pytest.raises(StaleTurn, match="nightly region=eu has another champion by now"):
        any_store.move_firing(other.firing_id, 2, late)
    assert any_store.firing(other.firing_id).state is FiringState.CONFIRMING
    assert any_store.champions("nightly") == [champion]


def test_two_that_promote_at_once_make_one_champion(any_store: Store) -> None:
    studies = [searching(any_store, due_at=NOON + timedelta(days=k)) for k in range(6)]
    refused: list[int] = []

    def promote(k: int) -> None:
        try:
            any_store.record_champion(verdict(studies[k], promoted=True))
        except StaleTurn:
            refused.append(k)

    at_once(promote)
    assert len(refused) == 5
    assert len(any_store.verdicts("nightly")) == len(any_store.champions("nightly")) == 1


def test_a_firing_that_ended_goes_on_when_its_study_does(any_store: Store) -> None:
    study = searching(any_store)
    assert study.firing_id is not None
    any_store.move_study(study.id, StudyEvent.STOP, "enough")
    any_store.move_firing(study.firing_id, 1, FiringMove(FiringEvent.KEEP, "", verdict=verdict(study, promoted=False)))
    assert any_store.firings_to_move() == []
    any_store.move_study(study.id, StudyEvent.REOPEN, "a person wants more")
    again = any_store.firing(study.firing_id)
    assert (again.state, again.reason, again.turn) == (FiringState.SEARCHING, "a person wants more", 3)
    assert any_store.verdicts("nightly") == []


def test_what_a_nights_pairs_measured_comes_back_for_later_nights(any_store: Store) -> None:
    study = searching(any_store)
    assert study.firing_id is not None
    gate: dict[str, Any] = {"pairs": 8, "gain": -0.1234567890123456, "error": 1 / 3, "interval": [-1.0, 1.0], "p": 0.7}
    evidence = {"gate": gate, "device_s": 7.5}
    any_store.move_firing(study.firing_id, 1, FiringMove(FiringEvent.KEEP, "no better", evidence=evidence))
    [firing] = any_store.firings("nightly", slice_=study.slice)
    assert past_night(firing, 0.5) == PastNight(None, "full", device_s=7.5, gain=gate["gain"], error=1 / 3)
    assert past_night(firing, 1.0).error == 0.5, "no less than that of eight pairs that do not correlate"


def test_a_night_is_judged_once(any_store: Store) -> None:
    study = searching(any_store)
    first = any_store.record_champion(verdict(study, promoted=True))
    assert first.decided_at is not None
    assert first == replace(verdict(study, promoted=True), id=first.id, decided_at=first.decided_at)
    assert any_store.record_champion(replace(verdict(study, promoted=False), score=0.1)) == first
    assert any_store.verdicts("nightly") == [first]
    by_hand = replace(verdict(study, promoted=True), kind=VerdictKind.ROLLBACK, who="ada", before_id=first.id)
    assert [each.kind for each in (any_store.record_champion(by_hand), first)] == ["rollback", "night"]


def test_the_champion_is_the_newest_promoted(any_store: Store) -> None:
    us = {"region": "us"}
    plan = [(True, None), (True, None), (False, None), (True, us), (False, us)]
    studies = [searching(any_store, due_at=NOON + timedelta(days=k)) for k in range(5)]
    before: dict[str, int] = {}
    for study, (promoted, slice_) in zip(studies, plan, strict=True):
        where = str(slice_)
        made = any_store.record_champion(verdict(study, promoted=promoted, slice_=slice_, before_id=before.get(where)))
        if promoted:
            before[where] = made.id
    assert [(each.slice["region"], each.study_id) for each in any_store.champions("nightly")] == [
        ("eu", studies[1].id),
        ("us", studies[3].id),
    ]
    assert [any_store.champion_of("nightly", {"region": region}) for region in ("eu", "us")] == any_store.champions()
    assert any_store.champion_of("nightly", {"region": "apac"}) is None
    assert any_store.champions() == any_store.champions("nightly")
    assert any_store.champions("weekly") == []
    assert [each.study_id for each in any_store.verdicts("nightly", limit=2)] == [studies[4].id, studies[3].id]


def test_a_nights_tests_tell_what_they_spent(any_store: Store) -> None:
    def judged(day: int, name: str, gate: dict[str, Any] | None, *, promoted: bool = False) -> None:
        slice_ = {"region": f"{name}{day}"}
        study = searching(any_store, f"{name}{day}", due_at=NOON + timedelta(days=day), slice=slice_)
        evidence = {} if gate is None else {"gate": gate}
        any_store.record_champion(replace(verdict(study, promoted=promoted, slice_=slice_), evidence=evidence))

    def gate(level: float, weight: float, fdr: float | None = 0.1) -> dict[str, Any]:
        return {"said": {"level": level}, "asked": {"before": {"weight": weight}, "rules": {"fdr": fdr}}}

    judged(-1, "a", gate(0.045, 1.0, None), promoted=True)  # before the schedule had a share to spend
    judged(0, "a", gate(0.001, 1.0), promoted=True)
    judged(0, "b", gate(0.002, 3.0))
    judged(0, "c", None)
    judged(1, "a", gate(0.004, 0.5))
    judged(2, "a", gate(0.5, 1.0), promoted=True)
    found = any_store.night_tallies("nightly", NOON + timedelta(days=2))
    assert [spent for spent, _ in found] == pytest.approx([0.007, 0.002])
    assert [promoted for _, promoted in found] == [1, 0]
    assert any_store.night_tallies("weekly", NOON + timedelta(days=2)) == []


def test_a_verdict_needs_its_study(any_store: Store) -> None:
    study = searching(any_store)
    with pytest.raises(UnknownStudy):
        any_store.record_champion(replace(verdict(study, promoted=True), study_id=12345))


def test_a_firing_keeps_what_it_was_made_with(any_store: Store) -> None:
    any_store.put_schedule(schedule())
    firing = due(any_store)
    any_store.put_schedule(schedule(spec={"study": "edited"}))
    assert any_store.firing_plan(firing.id).spec == new_study().spec


def at_once(work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_night_may_start_from_searches_that_were_over_before_it_was_opened(any_store: Store) -> None:
    def search(region: str, day: int, *, over: bool = True) -> int:
        study = searching(any_store, f"{region}-{day}", due_at=NOON + timedelta(days=day), slice={"region": region})
        if over:
            any_store.move_study(study.id, StudyEvent.STOP, "enough")
        return study.id

    eu = [search("eu", day) for day in range(4)]
    us = [search("us", day) for day in range(3)]
    asia = search("asia", 1)
    search("africa", 2, over=False)
    later = search("eu", 9)
    opened = any_store.create_study(new_study("alone"))
    tonight = search("eu", 5, over=False)

    def found(study: int, nights: int, sisters: int) -> list[int]:
        return [each.id for each in any_store.earlier_studies(study, nights=nights, sisters=sisters)]

    assert found(tonight, 3, 9) == [eu[3], eu[2], eu[1], us[2], asia]
    assert found(tonight, 9, 1) == [*eu[::-1], us[2]]
    assert later not in found(tonight, 9, 9)
    assert found(eu[1], 9, 9) == [eu[0]]
    assert found(opened.id, 9, 9) == []


def test_a_reproducible_night_starts_from_earlier_nights_alone(any_store: Store) -> None:
    def search(region: str, day: int, **spec: Any) -> int:
        at, made = NOON + timedelta(days=day), {**new_study().spec, **spec}
        study = searching(any_store, f"{region}-{day}", due_at=at, slice={"region": region}, spec=made)
        if not spec:
            any_store.move_study(study.id, StudyEvent.STOP, "enough")
        return study.id

    us, asia, eu = search("us", 1), search("asia", 1), search("eu", 1)
    us_tonight = search("us", 2)
    anew, plain = search("eu", 2, reproducible=True), search("africa", 2, parallel=1)
    assert [each.id for each in any_store.earlier_studies(anew, nights=9, sisters=9)] == [eu, asia, us]
    assert [each.id for each in any_store.earlier_studies(plain, nights=9, sisters=9)] == [us_tonight, asia, eu]


def test_a_deadline_that_will_be_missed_is_told_once_and_moves_nothing(any_store: Store) -> None:
    firing = looking(any_store)
    assert any_store.announce(firing.id, "too late")
    assert not any_store.announce(firing.id, "later still")
    told = any_store.firing(firing.id)
    assert (told.state, told.turn, told.reason, told.entered_at) == (
        firing.state,
        firing.turn,
        "too late",
        firing.entered_at,
    )
    assert [step["state"] for step in told.steps] == [*(step["state"] for step in firing.steps), "LOOKING"]
    assert (told.steps[-1]["reason"], told.steps[-1]["late"]) == ("too late", True)
    over = any_store.move_firing(firing.id, told.turn, FiringMove(FiringEvent.FAIL, "it is over"))
    assert not any_store.announce(over.id, "too late")


def test_a_paused_study_holds_its_firing_until_that_is_over(any_store: Store) -> None:
    firing = looking(any_store)
    [look] = any_store.stage_studies([firing.id])
    any_store.move_study(look.id, StudyEvent.START, "first turn")
    assert any_store.studies_held() == []
    any_store.move_study(look.id, StudyEvent.PAUSE, "its code is nowhere")
    assert [each.id for each in any_store.studies_held()] == [look.id]
    any_store.move_firing(firing.id, firing.turn, FiringMove(FiringEvent.FAIL, "it waited in vain"))
    assert any_store.studies_held() == []
    assert [each.id for each in any_store.studies_left_open()] == [look.id]
