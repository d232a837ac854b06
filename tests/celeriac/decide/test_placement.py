"""Where trials go: nothing over its share, memory or slots; gangs whole; nobody passed for ever."""

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from celeriac.decide.learned_memory import CONTEXT_BYTES, needed_bytes
from celeriac.decide.placement import GANG_PATIENCE_S, Demand, PlaceDecision, Spot, place, spots_left
from celeriac.domain.records import Holding, Holdings, Placed, Resources

GIB = 2**30
LATE_S, PATIENCE_S = 100.0, 60.0


def card(name: str, *, host: str = "box", slots: int = 4, share: float = 1.0, free: int = 80, **changes: Any) -> Spot:
    given_: dict[str, Any] = {"labels": {}, "is_gpu": True} | changes
    return Spot(name, host, memory_bytes=80 * GIB, slots=slots, share=share, free_bytes=free * GIB, **given_)


def demand(study_id: int, gpus: float = 1, ready: int = 1, *, gib: int = 0, **changes: Any) -> Demand:
    least = changes.pop("least", max(int(gpus), 1))
    wants = Resources(gpus=gpus, least=least, labels=changes.pop("labels", {}))
    return Demand(study_id, wants, ready, gib * GIB, **changes)


def placed(*demands: Demand, spots: list[Spot]) -> PlaceDecision:
    return place(demands, spots, patience_s=PATIENCE_S)


def test_large_ones_come_first_and_small_ones_fill_what_is_left() -> None:
    found = placed(demand(0, 0.25, 5), demand(1, 1), demand(2, 0.5, 1), spots=[card("a"), card("b")])
    where = [(each.study_id, each.placed.devices) for each in found.places]
    assert where == [(1, ("a",)), (2, ("b",)), (0, ("b",)), (0, ("b",))]
    assert "too little left" in found.waits[0]


def test_the_fullest_device_that_has_room_is_taken() -> None:
    spots = [card("empty"), card("half", share=0.5), card("full", share=0.1)]
    assert placed(demand(0, 0.25), spots=spots).of(0) == [Placed(("half",), 0.25)]


def test_memory_counts_as_shares_do() -> None:
    spots = [card("a", share=0.75, free=10), card("b", free=40)]
    assert placed(demand(0, 0.25, gib=20), spots=spots).of(0) == [Placed(("b",), 0.25, 20 * GIB)]
    assert "no live GPU" in placed(demand(0, 0.25, gib=90), spots=spots).waits[0]


def test_what_nobody_has_measured_is_alone_on_its_device() -> None:
    found = placed(demand(0, 0.25, 3, is_unknown=True), spots=[card("a"), card("b", share=0.75, free=60)])
    assert found.of(0) == [Placed(("a",), 1.0, 80 * GIB)]


def test_labels_kind_and_health_are_kept_to() -> None:
    spots = [
        card("eu", labels={"region": "eu"}),
        card("us", labels={"region": "us"}),
        card("sick", labels={"region": "eu"}, usable=False),
        card("cpu", is_gpu=False, labels={"region": "eu"}),
        card("other code", labels={"region": "eu"}, but_for=frozenset({0})),
    ]
    found = placed(demand(0, 1, 5, labels={"region": "eu"}), spots=spots)
    assert [each.devices for each in found.of(0)] == [("eu",)]
    on_cpu = Demand(1, Resources(labels={"region": "eu"}), 9)
    assert placed(on_cpu, spots=spots).of(1) == [Placed(("cpu",), 0.0)] * 4
    assert "labels region=asia" in placed(demand(0, 1, labels={"region": "asia"}), spots=spots).waits[0]


def test_a_trial_goes_to_no_kind_on_which_it_does_not_fit_and_holds_up_nobody() -> None:
    spots = [card("t0", kind="T4", slots=1), card("t1", kind="T4", slots=1), card("h", kind="H200", share=0.0)]
    large = demand(0, number=7, barred=frozenset({"T4"}), why="it waits for a GPU other than T4", room=3)
    others = demand(0, ready=5, room=3)
    found = placed(large, others, spots=spots)
    assert (found.own(0), [each.devices for each in found.of(0)]) == ({}, [("t0",), ("t1",)])
    assert found.waits[0].startswith("trial 7: it waits for a GPU other than T4: all 1 GPUs that suit it are taken")
    spots[-1] = card("h", kind="H200")
    found = placed(large, others, spots=spots)
    assert found.own(0) == {7: Placed(("h",), 1.0)}
    assert [each.devices for each in found.of(0)] == [("t0",), ("t1",)], "`room` is for all of them together"
    gang = demand(0, 2, number=7, barred=frozenset({"T4"}))
    assert placed(gang, spots=[*spots, card("i", kind="H200")]).own(0) == {7: Placed(("h", "i"), 1.0)}
    assert (
        card("a", slots=0, share=0.75)
        .why_not(demand(1, 0.25))
        .endswith("a share of 0.75 is free (CELERIAC_SLOTS_PER_GPU)")
    )
    assert spots[0].why_not(large) == "trial 7 does not fit into the memory of a T4"


def test_one_that_waits_for_its_kind_too_long_has_such_a_device_kept_for_it() -> None:
    spots = [card("t", kind="T4"), card("h", kind="H200", share=0.5)]
    large = demand(0, number=7, barred=frozenset({"T4"}), why="it is large", waits_s=LATE_S)
    found = placed(large, demand(1, 0.5, 4), spots=spots)
    assert (found.reserved, [each.devices for each in found.of(1)]) == (("h",), [("t",), ("t",)])


def test_a_gang_is_placed_whole_on_one_host_if_one_has_room() -> None:
    spots = [
        card("a0", host="a"),
        card("a1", host="a"),
        card("b0", host="b"),
        card("b1", host="b"),
        card("b2", host="b"),
    ]
    assert placed(demand(0, 2), spots=spots).of(0) == [Placed(("a0", "a1"), 1.0)]
    assert placed(demand(0, 3), spots=spots).of(0) == [Placed(("b0", "b1", "b2"), 1.0)]
    assert placed(demand(0, 4), spots=spots).of(0) == [Placed(("b0", "b1", "b2", "a0"), 1.0)]
    assert placed(demand(0, 6), spots=spots).of(0) == []


def test_a_gang_that_may_be_smaller_waits_a_while_for_all() -> None:
    spots = [card("a"), card("b")]
    assert placed(demand(0, 4, least=1), spots=spots).of(0) == []
    late = demand(0, 4, least=1, waits_s=GANG_PATIENCE_S + 1)
    assert placed(late, spots=spots).of(0) == [Placed(("a", "b"), 1.0)]


def test_a_gang_on_slots_shares_a_host() -> None:
    cpus = [card("x", host="x", is_gpu=False, slots=2), card("y", host="y", is_gpu=False, slots=4)]
    assert placed(Demand(0, Resources(slots=3, least=3), 1), spots=cpus).of(0) == [Placed(("y", "y", "y"), 0.0)]


def test_one_that_waits_too_long_has_devices_kept_for_it_and_small_ones_go_on_elsewhere() -> None:
    spots = [card("a", share=0.75), card("b", share=0.5), card("c", share=0.25)]
    found = placed(demand(0, 0.25, 9), demand(1, 2, waits_s=LATE_S), spots=spots)
    assert found.reserved == ("a", "b")
    assert [each.devices for each in found.of(0)] == [("c",)]
    assert "kept for a trial that has waited longer" in found.waits[0]
    # What is kept becomes emptier, so the next look keeps the same; once it is empty, the gang has it.
    later = placed(demand(0, 0.25, 9), demand(1, 2, waits_s=LATE_S), spots=[card("a"), card("b"), card("c", share=0)])
    assert later.of(1) == [Placed(("a", "b"), 1.0)]


def test_only_the_one_that_has_waited_longest_has_devices_kept_for_it() -> None:
    waiting = [demand(0, 2, waits_s=LATE_S), demand(1, 3, waits_s=2 * LATE_S)]
    found = placed(*waiting, spots=[card("a", share=0.75), card("b", share=0.5), card("c", share=0.25)])
    assert (found.places, found.reserved) == ((), ("a", "b", "c"))
    spots = [card("a", share=0.75), card("b", share=0.5), card("c", host="other", share=0.9)]
    found = placed(demand(0, 1, waits_s=LATE_S), demand(1, 2, waits_s=2 * LATE_S), spots=spots)
    assert (found.places, found.reserved) == ((), ("a", "b"))


def test_one_trial_of_a_study_that_has_waited_too_long_comes_before_others_and_its_next_has_not_waited() -> None:
    late = demand(0, 0.5, 3, waits_s=LATE_S)
    found = placed(late, demand(1, 1), spots=[card("a"), card("b")])
    assert [each.study_id for each in found.places] == [0, 1, 0]


def test_who_has_more_than_its_part_comes_after_those_who_have_not() -> None:
    found = placed(demand(0, 1, 4, within=1), demand(1, 0.5, 2), spots=[card("a"), card("b"), card("c")])
    assert [each.study_id for each in found.places] == [0, 1, 1, 0]


def test_what_is_held_is_not_free() -> None:
    spots = {"a": card("a"), "b": card("b", slots=1), "c": card("c")}
    held = (
        Holding(0, 0, 1, True, 0, Placed(("a",), 0.5, 8 * GIB)),
        Holding(0, 1, 0, False, 1, Placed(("a", "c"), 0.25, GIB)),
    )
    left = spots_left(spots, Holdings(held, {"a": 2, "b": 1, "gone": 3}))
    assert (left["a"].share, left["a"].free_bytes, left["a"].slots) == (0.25, 71 * GIB, 1)
    assert (left["b"].share, left["b"].slots, left["c"].share) == (0.0, 0, 0.75)


def test_memory_is_as_the_file_says_or_as_it_was_measured() -> None:
    share, whole = Resources(gpus=0.25), Resources(gpus=1)
    assert (needed_bytes(share, None), needed_bytes(whole, None), needed_bytes(Resources(), 5)) == (None, 0, 0)
    assert needed_bytes(share, 1000) == 1150 + CONTEXT_BYTES
    assert needed_bytes(Resources(gpus=0.25, gpu_memory_bytes=6 * GIB), 1000) == 6 * GIB


_REST = ("resources", "ready", "memory_bytes", "is_unknown", "within", "waits_s")
_demands = st.lists(
    st.builds(
        Demand,
        st.just(0),
        st.sampled_from([0.1, 0.25, 0.5, 1, 2, 4]).map(lambda gpus: Resources(gpus=gpus, least=max(int(gpus), 1))),
        st.integers(0, 6),
        st.integers(0, 90).map(lambda gib: gib * GIB),
        st.booleans(),
        st.integers(-1, 3),
        st.sampled_from([0.0, 50.0, LATE_S, 2 * LATE_S]),
    ),
    max_size=8,
).map(lambda found: [Demand(k, *(getattr(each, name) for name in _REST)) for k, each in enumerate(found)])
_spots = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([0, 0.25, 0.5, 1]), st.integers(0, 80), st.integers(0, 4)),
    max_size=8,
).map(lambda found: [card(f"{k}", host=h, share=s, free=m, slots=n) for k, (h, s, m, n) in enumerate(found)])


@given(_demands, _spots)
def test_nothing_is_over_its_share_memory_or_slots(demands: list[Demand], spots: list[Spot]) -> None:
    found = placed(*demands, spots=spots)
    by_id = {each.study_id: each for each in demands}
    for spot in spots:
        here = [each.placed for each in found.places if spot.uuid in each.placed.devices]
        assert sum(each.share for each in here) <= spot.share + 1e-9 or not here
        assert sum(each.memory_bytes for each in here) <= spot.free_bytes
        assert len(here) <= spot.slots
    for study_id, count in Counter(each.study_id for each in found.places).items():
        assert count <= by_id[study_id].ready
    for each in found.places:
        assert len(set(each.placed.devices)) == by_id[each.study_id].resources.members
    if found.reserved or not any(each.ready for each in demands):
        return
    # Nothing idles: whoever still wants a place finds none.
    left = spots_left(
        {each.uuid: each for each in spots},
        Holdings(tuple(Holding(0, 0, 0, False, 0, each.placed) for each in found.places)),
    )
    for wanted in demands:
        if len(found.of(wanted.study_id)) < wanted.ready and wanted.resources.members == 1:
            assert not any(spot.fits(wanted) for spot in left.values())
