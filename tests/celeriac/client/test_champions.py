"""What a person decides about champions: each decision is a verdict with who and why, and none overruns another."""

import pytest

from celeriac.client.champions import approve, awaiting, find_slice, promote, reject, roll_back
from celeriac.client.nights import follow, newest_night
from celeriac.domain.errors import CallerError, IllegalTransition, UnknownTrial
from celeriac.domain.records import FiringState, Stage, VerdictKind
from tests.coordinator.house import House
from tests.coordinator.nightlife import JFK, by_lr, put_schedule, told, whole_night

WHO, WHY = "ada@here", "I looked at it"


def waiting_house() -> House:
    house = House(slots=2)
    put_schedule(house, gate={"require_approval": True})
    whole_night(house, by_lr(0.1))
    return house


def test_what_is_approved_becomes_champion_and_its_firing_promoted() -> None:
    store = waiting_house().store
    waits = awaiting(store, "flights", JFK)
    assert waits is not None
    assert store.champion_of("flights", JFK) is None
    made = approve(store, "flights", JFK, who=WHO, reason=WHY)
    assert (made.params, made.kind, made.who, made.reason) == (waits.params, VerdictKind.APPROVED, WHO, WHY)
    assert made.evidence == waits.evidence
    [firing] = store.firings("flights")
    assert firing.state is FiringState.PROMOTED
    assert told(firing)[-2:] == ["KEPT", "PROMOTED"]
    assert firing.reason == "ada@here: I looked at it"
    with pytest.raises(CallerError, match="flights airport=JFK: nothing waits for approval"):
        approve(store, "flights", JFK, who=WHO, reason=WHY)


def test_what_is_rejected_waits_no_more() -> None:
    store = waiting_house().store
    said = reject(store, "flights", JFK, who=WHO, reason=WHY)
    assert (said.promoted, said.kind) == (False, VerdictKind.REJECTED)
    assert store.champion_of("flights", JFK) is None
    with pytest.raises(CallerError, match="nothing waits"):
        reject(store, "flights", JFK, who=WHO, reason=WHY)


def test_what_was_tested_against_another_champion_is_not_approved() -> None:
    store = waiting_house().store
    search = store.stage_studies([store.firings("flights")[0].id])[0]
    promote(store, search.name, 0, slice_=None, who=WHO, reason=WHY)
    with pytest.raises(IllegalTransition, match=r"another champion than the one that serves now; promote it by hand"):
        approve(store, "flights", JFK, who=WHO, reason=WHY)


def test_a_scored_trial_is_promoted_by_hand_and_rolled_back() -> None:
    house = House(slots=2)
    put_schedule(house)
    whole_night(house, by_lr(0.1))
    store = house.store
    first = store.champion_of("flights", JFK)
    assert first is not None
    by_hand = promote(store, first.study, 0, slice_=None, who=WHO, reason=WHY)
    assert (by_hand.kind, by_hand.before_id, by_hand.trial) == (VerdictKind.BY_HAND, first.id, 0)
    back = roll_back(store, "flights", JFK, who=WHO, reason=WHY)
    assert (back.kind, back.params, back.before_id) == (VerdictKind.ROLLBACK, first.params, by_hand.id)
    assert store.champion_of("flights", JFK) == back
    again = roll_back(store, "flights", JFK, who=WHO, reason=WHY)
    assert again.params == by_hand.params
    assert roll_back(store, "flights", JFK, to=first.id, who=WHO, reason=WHY).params == first.params
    assert [each.kind for each in store.verdicts("flights")] == ["rollback"] * 3 + ["by hand", "night"]
    with pytest.raises(CallerError, match=r"had no champion 999 before \(earlier ones: "):
        roll_back(store, "flights", JFK, to=999, who=WHO, reason=WHY)
    with pytest.raises(UnknownTrial):
        promote(store, first.study, 77, slice_=None, who=WHO, reason=WHY)


def test_a_first_champion_has_none_before_it() -> None:
    house = House(slots=2)
    put_schedule(house)
    with pytest.raises(CallerError, match="flights airport=JFK has no champion: there is nothing to roll back"):
        roll_back(house.store, "flights", JFK, who=WHO, reason=WHY)
    whole_night(house, by_lr(0.1))
    with pytest.raises(CallerError, match=r"had no champion before this one \(earlier ones: none\)"):
        roll_back(house.store, "flights", JFK, who=WHO, reason=WHY)


def test_a_contender_is_none_any_more_after_a_promotion_by_hand() -> None:
    house = House(slots=2)
    put_schedule(house)
    few_blocks = by_lr(0.1, blocks=3)
    whole_night(house, few_blocks)
    promote(house.store, house.store.verdicts("flights")[0].study, 0, slice_=None, who=WHO, reason=WHY)
    firing = whole_night(house, few_blocks)
    assert "CONFIRMING" in told(firing)
    assert "the contender" not in " ".join(step["reason"] for step in firing.steps)


def test_a_slice_is_named_as_people_write_it() -> None:
    house = House(slots=2)
    put_schedule(house, slices=(JFK, {"airport": "LGA"}))
    assert find_slice(house.store, "flights", "airport=LGA") == {"airport": "LGA"}
    for wrong, says in ((None, "say which slice"), ("airport=EWR", "has no slice 'airport=EWR'")):
        with pytest.raises(CallerError, match=f"{says}; it has airport=JFK; airport=LGA"):
            find_slice(house.store, "flights", wrong)


def test_a_night_can_be_followed_to_its_end() -> None:
    house = House(slots=2)
    put_schedule(house)
    assert newest_night(house.store, "flights") == []
    whole_night(house, by_lr(0.1))
    [firing] = newest_night(house.store, "flights")
    assert [each.state for each in follow(lambda ids: [house.store.firing(each) for each in ids], [firing.id])] == [
        FiringState.PROMOTED
    ]
    assert {study.stage for study in house.store.stage_studies([firing.id])} == {Stage.SEARCH, Stage.CONFIRM}
