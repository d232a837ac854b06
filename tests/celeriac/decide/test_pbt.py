"""Population based training: who is stopped, who is copied, and what becomes of the parameters, whatever they are."""

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from celeriac.decide.pbt import HeirDecision, Leader, explored, heir, leaders
from celeriac.decide.stop_early import Progress, at_rung, followed, judged, ranking
from celeriac.domain.records import Report, RungRecord, Source
from celeriac.domain.space import Space
from celeriac.domain.stop_rules import Pbt
from tests.celeriac.decide.records import NOW

RULE = Pbt(every=5, max=20)
SPACE = Space.from_dict(
    {
        "lr": {"float": [1e-4, 1e-1], "log": True},
        "shift": {"float": [-1.0, 1.0]},
        "drop": {"float": [0.0, 0.9], "step": 0.1},
        "batch": {"int": [16, 256], "step": 16},
        "layers": {"int": [0, 3]},
        "optimizer": {"choice": ["sgd", "adam"]},
        "momentum": {"float": [0.5, 0.99], "when": {"optimizer": "sgd"}},
    }
)
seeds = st.integers(0, 2**32 - 1)
rules = st.builds(
    Pbt,
    every=st.just(5),
    max=st.just(20),
    quantile=st.floats(0.01, 0.5),
    perturb=st.floats(1.001, 10),
    resample=st.floats(0, 1),
    change=st.sampled_from([(), ("lr",), ("batch", "optimizer")]),
)


def record(place: int, trial: int, value: float = 0.5) -> RungRecord:
    return RungRecord(1, 0, 5, place, trial, 1, 5, 5.0, value, value, NOW)


@given(rule=rules, seed=seeds)
def test_an_heirs_parameters_lie_in_the_space_and_only_what_may_change_does(rule: Pbt, seed: int) -> None:
    parent = SPACE.sample(Random(seed))
    found = explored(rule, SPACE, parent, Random(seed + 1))
    assert SPACE.validate(found) == found
    for name in found:
        if rule.change and name not in rule.change and name in parent:
            assert found[name] == parent[name]


@given(seed=seeds, perturb=st.floats(1.01, 3))
def test_without_drawing_anew_each_number_moves_by_the_factor_and_an_option_stays(seed: int, perturb: float) -> None:
    rule = replace(RULE, resample=0.0, perturb=perturb)
    parent = {"lr": 1e-2, "shift": 0.0, "drop": 0.4, "batch": 128, "layers": 1, "optimizer": "adam"}
    found = explored(rule, SPACE, parent, Random(seed))
    assert min(abs(found["lr"] / 1e-2 - factor) for factor in (perturb, 1 / perturb)) < 1e-9
    assert abs(found["shift"]) == min(2 * (perturb - 1), 1.0)
    assert found["optimizer"] == "adam"
    for name, cell in (("drop", 0.1), ("batch", 16), ("layers", 1)):
        assert abs(found[name] - parent[name]) >= cell - 1e-9


def test_at_the_edge_a_parameter_stays_within() -> None:
    found = [explored(replace(RULE, resample=0.0), SPACE, EDGE, Random(seed)) for seed in range(20)]
    assert {each["batch"] for each in found} == {240, 256} or {each["batch"] for each in found} == {208, 256}
    assert max(each["lr"] for each in found) == 1e-1


EDGE: dict[str, Any] = {"lr": 1e-1, "shift": 1.0, "drop": 0.9, "batch": 256, "layers": 3, "optimizer": "adam"}


@given(place=st.integers(1, 200), quantile=st.floats(0.01, 0.5))
def test_the_first_quantile_may_be_copied_one_at_least_and_never_the_loser(place: int, quantile: float) -> None:
    rule, best = replace(RULE, quantile=quantile), [record(k, k) for k in range(1, place + 1)]
    found = leaders(rule, record(place, place), best)
    assert len(found) <= max(place * quantile, 1)
    assert found == [each for each in best[: len(found)] if each.trial != place]
    assert bool(found) == (place > 1)


def decided(found: list[Leader], *, number: int = 12, seed: int = 7) -> HeirDecision:
    return heir(RULE, SPACE, record(8, 3), found, number=number, seed=seed)


def test_who_has_a_checkpoint_is_copied_before_who_has_none() -> None:
    some = [Leader(1, EDGE, None), Leader(2, EDGE, 4), Leader(5, EDGE, 5)]
    found = [decided(some, number=number) for number in range(40)]
    assert {(each.parent, each.parent_step) for each in found} == {(2, 4), (5, 5)}
    said = decided(some[1:2]).reason
    assert said == (
        "trial 3 fell behind at rung 5, and of the 1 that led there trial 2 was drawn; it goes on from its step 4"
    )
    alone = decided(some[:1])
    assert (alone.parent, alone.parent_step) == (1, None)
    assert alone.reason.endswith("it goes on from the beginning: it has no checkpoint there")


@given(seed=seeds, number=st.integers(0, 10_000))
def test_the_same_rows_give_the_same_heir_in_whatever_order_they_are_read(seed: int, number: int) -> None:
    some = [Leader(1, EDGE, 3), Leader(2, EDGE, 4), Leader(5, EDGE, 5)]
    assert decided(some, number=number, seed=seed) == decided(some[::-1], number=number, seed=seed)


@given(values=st.lists(st.floats(-1, 1), min_size=1, max_size=60, unique=True), quantile=st.floats(0.01, 0.5))
def test_no_more_than_the_last_quantile_of_a_rung_is_stopped_as_it_comes(values: list[float], quantile: float) -> None:
    who = judged(replace(RULE, quantile=quantile), "minimize", 9, Source.SUGGESTED)
    for count in range(1, len(values) + 1):
        there = sorted(values[:count])
        cutoff = there[ranking(who).kept(count) - 1]
        decision = at_rung(who, replace(record(count, 9, values[count - 1]), cutoff=cutoff))
        behind = count - 1 - there.index(values[count - 1])  # so many are worse
        assert decision.stop == (behind < round(count * round(100 * quantile) / 100 - 1e-9))


def test_an_heir_is_judged_at_the_rungs_after_its_birth_only() -> None:
    who = judged(RULE, "minimize", 12, Source.PBT, born_step=10)
    course, crossed = Progress(), []
    for step in range(11, 25):
        found = followed(who, course, Report(step, 0.5))
        course = found.course
        crossed += [found.crossing.rung] if found.crossing else []
    assert crossed == [15]


def test_ready_steps_end_before_the_last() -> None:
    who = judged(RULE, "minimize", 1, Source.SUGGESTED)
    course, crossed = Progress(), []
    for step in (0, 4, 6, 7, 12, 19, 20, 21):
        found = followed(who, course, Report(step, 0.5))
        course = found.course
        crossed += [(found.crossing.rung, found.crossing.step)] if found.crossing else []
    assert crossed == [(5, 6), (10, 12), (15, 19)]
