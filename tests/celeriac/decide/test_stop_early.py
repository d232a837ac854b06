"""Early stopping: each rule by itself, and what holds of all of them whatever the values are."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.decide.stop_early import (
    EXEMPT,
    Judged,
    Progress,
    Step,
    StopDecision,
    at_rung,
    bracket_of,
    followed,
    judged,
    keeps_score,
    ranking,
    resource_of,
    rungs_of,
)
from celeriac.domain.records import Crossing, Fault, Goal, Report, RungRecord, Source
from celeriac.domain.stop_rules import Asha, Hyperband, Median, Patience, StopRule, Threshold
from tests.celeriac.decide.records import NOW

ASHA = Asha(1, 81)
GOALS: list[Goal] = ["maximize", "minimize"]
goals = st.sampled_from(GOALS)
values = st.floats(-1e6, 1e6)


def record(who: Judged, crossing: Crossing, there: list[float]) -> RungRecord:
    """What the store answers when these values were at the rung before."""
    arrived = [*there, crossing.value]
    kept = sorted(arrived, reverse=who.goal == "maximize")
    cutoff = kept[crossing.ranking.kept(len(kept)) - 1]
    return RungRecord(
        1, who.bracket, crossing.rung, len(kept), 9, 1, crossing.step, crossing.resource, crossing.value, cutoff, NOW
    )


def at(who: Judged, value: float, there: list[float], rung: int = 3) -> StopDecision:
    """The verdict on a value at a rung."""
    return at_rung(who, record(who, Crossing(rung, rung, float(rung), value, ranking(who)), there))


def course(who: Judged, reported: list[float], *, samples: int = 0) -> list[Step]:
    """Report these values at steps 0, 1, …; with `samples`, that many more a step."""
    steps, now = [], Progress()
    for step, value in enumerate(reported):
        metrics = {"samples": samples * (step + 1)} if samples else {}
        steps.append(followed(who, now, Report(step, value, metrics)))
        now = steps[-1].course
    return steps


# -- rungs and brackets ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("rule", "rungs"),
    [(ASHA, (1, 3, 9, 27)), (Asha(2, 17, 2), (2, 4, 8, 16)), (Asha(5, 6), (5,)), (Hyperband(1, 10), (1, 3, 9))],
)
def test_rungs_lie_below_max(rule: Asha | Hyperband, rungs: tuple[int, ...]) -> None:
    assert rungs_of(rule) == rungs
    assert rungs_of(rule, 1) == rungs[1:]


def test_hyperband_hands_out_its_brackets_as_its_paper_does_and_evenly() -> None:
    rule = Hyperband(1, 81)
    shares = Counter(bracket_of(rule, number) for number in range(1430))
    assert [round(shares[bracket] / 10) for bracket in range(5)] == [81, 34, 15, 8, 5]
    first = Counter(bracket_of(rule, number) for number in range(30))
    assert set(first) == {0, 1, 2, 3, 4}
    assert all(bracket_of(ASHA, number) == 0 for number in range(30))


@given(st.integers(1, 50), st.integers(1, 10**6), st.integers(2, 9), st.integers(0, 10**6))
def test_each_trial_has_one_bracket_of_its_rule(least: int, more: int, eta: int, number: int) -> None:
    rule = Hyperband(least, least + more, eta)
    bracket = bracket_of(rule, number)
    assert 0 <= bracket <= len(rungs_of(rule))
    assert bracket == bracket_of(rule, number)


def test_the_last_bracket_is_never_judged() -> None:
    rule = Hyperband(1, 81)
    who = Judged(rule, "maximize", bracket=4)
    assert all(step.crossing is None for step in course(who, [0.1] * 81))


# -- crossing a rung ---------------------------------------------------------------------------------------------------
def test_a_rung_is_crossed_by_the_first_report_at_or_above_it() -> None:
    crossed = [step.crossing for step in course(Judged(ASHA, "maximize"), [step / 100 for step in range(30)])]
    assert [(each.rung, each.step, each.value) for each in crossed if each] == [
        (1, 1, 0.01),
        (3, 3, 0.03),
        (9, 9, 0.09),
        (27, 27, 0.27),
    ]


def test_a_report_counts_at_the_highest_rung_below_it() -> None:
    who, report = Judged(ASHA, "maximize"), Report(12, 0.5)
    step = followed(who, Progress(), report)
    assert step.crossing == Crossing(9, 12, 12.0, 0.5, ranking(who))
    assert followed(who, step.course, Report(26, 0.6)).crossing is None


def test_the_resource_may_be_a_metric() -> None:
    who = Judged(Asha(200, 10_000, 3, "samples"), "maximize")
    crossed = [step.crossing for step in course(who, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], samples=100)]
    assert [(each.rung, each.step, each.resource) for each in crossed if each] == [(200, 1, 200.0), (600, 5, 600.0)]


@pytest.mark.parametrize("metrics", [{}, {"samples": "many"}, {"samples": math.inf}, {"samples": True}])
def test_a_report_without_the_resource_counts_for_nothing(metrics: dict[str, object]) -> None:
    who = Judged(Asha(200, 10_000, 3, "samples"), "maximize")
    assert resource_of(who.rule, 5, metrics) is None
    assert followed(who, Progress(), Report(5, 0.5, metrics)) == Step(Progress())


# -- asha and hyperband ------------------------------------------------------------------------------------------------
def test_asha_keeps_the_best_third_of_what_came_so_far() -> None:
    who = Judged(ASHA, "maximize")
    assert not at(who, 0.1, []).stop
    assert at(who, 0.1, [0.2]) == StopDecision(True, "rung 3: 0.1 is not among the best 1 of 2 (cutoff 0.2)")
    assert not at(who, 0.2, [0.2]).stop
    assert not at(who, 0.5, [0.9, 0.1, 0.2, 0.3, 0.4]).stop
    assert at(who, 0.4, [0.9, 0.1, 0.2, 0.3, 0.5]).stop
    assert at(Judged(ASHA, "minimize"), 0.5, [0.9, 0.1, 0.2, 0.3, 0.4]).stop


def test_a_bracket_is_named() -> None:
    who = Judged(Hyperband(1, 81, resource="samples"), "minimize", bracket=2)
    assert at(who, 0.5, [0.1], 9).reason == "bracket 2, rung 9 samples: 0.5 is not among the best 1 of 2 (cutoff 0.1)"


# -- median ------------------------------------------------------------------------------------------------------------
def test_the_median_waits_for_others_and_is_generous_at_the_middle() -> None:
    who = Judged(Median(trials=3), "maximize")
    assert not at(who, 0.1, [0.5, 0.6]).stop
    assert at(who, 0.1, [0.5, 0.6, 0.7]).reason == "rung 3: 0.1 is worse than the median 0.6 of 4 trials"
    assert not at(who, 0.6, [0.5, 0.7, 0.4, 0.8]).stop
    assert at(who, 0.55, [0.5, 0.7, 0.6, 0.8]).stop


def test_the_median_goes_by_the_best_so_far_at_every_so_many_steps() -> None:
    crossed = [step.crossing for step in course(Judged(Median(2, 3), "maximize"), [0.1, 0.9, 0.2, 0.3, 0.4, 0.5])]
    assert [(each.rung, each.value) for each in crossed if each] == [(2, 0.9), (5, 0.9)]


# -- patience ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("rule", "reported", "ends"),
    [
        (Patience(2), [0.1, 0.2, 0.1, 0.1], 3),
        (Patience(2), [0.1, 0.2, 0.2, 0.2], 3),
        (Patience(2), [0.1, 0.2, 0.1, 0.3, 0.1], None),
        (Patience(2, min_delta=0.05), [0.1, 0.12, 0.14, 0.2], 2),
        (Patience(2, min=3), [0.5, 0.1, 0.1, 0.1, 0.1], 4),
        (Patience(2), [0.1, math.nan, math.inf], 2),
    ],
)
def test_patience_counts_reports_that_brought_nothing(rule: Patience, reported: list[float], ends: int | None) -> None:
    stopped = [step.decision is not None for step in course(Judged(rule, "maximize"), reported)]
    assert (stopped.index(True) if True in stopped else None) == ends
    turned = [step.decision is not None for step in course(Judged(rule, "minimize"), [-v for v in reported])]
    assert turned == stopped


def test_patience_tells_what_it_waited_for() -> None:
    decision = course(Judged(Patience(2, 0.01), "maximize"), [0.1, 0.2, 0.2, 0.2])[-1].decision
    assert decision == StopDecision(True, "patience: 2 reports did not improve by more than 0.01 on 0.2 of step 1")


def test_nothing_but_nan_is_a_fault() -> None:
    decision = course(Judged(Patience(2), "maximize"), [math.nan, math.nan])[-1].decision
    assert decision == StopDecision(True, "none of its 2 reports is a finite number", Fault.NOT_FINITE)


def test_only_patience_lets_a_returned_score_count() -> None:
    rules: list[StopRule] = [ASHA, Hyperband(1, 9), Median(), Patience(2), Threshold(1, 0.5)]
    assert [keeps_score(rule) for rule in rules] == [False, False, False, True, False]


# -- threshold ---------------------------------------------------------------------------------------------------------
def test_a_threshold_is_a_bound_at_one_place() -> None:
    who = Judged(Threshold(3, 0.5), "maximize")
    crossed = [step.crossing for step in course(who, [0.1] * 9)]
    assert [(each.rung, each.step) for each in crossed if each] == [(3, 3)]
    assert at(who, 0.4, []) == StopDecision(True, "rung 3: 0.4 is worse than the bound 0.5")
    assert not at(who, 0.5, [0.9, 0.8]).stop
    assert at(Judged(Threshold(3, 0.5), "minimize"), 0.6, []).stop


# -- what always holds -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("rule", [ASHA, Median(), Threshold(1, 0.0)])
def test_a_value_that_is_not_finite_at_a_rung_is_a_fault(rule: StopRule, value: float) -> None:
    step = course(Judged(rule, "maximize"), [value, value])[-1]
    assert step.crossing is None
    assert step.decision == StopDecision(True, f"rung 1: {value} is worse than every number", Fault.NOT_FINITE)
    spared = course(Judged(rule, "maximize", exempt=True), [value, value])[-1]
    assert spared.decision is not None
    assert not spared.decision.stop


@given(
    rule=st.sampled_from([ASHA, Hyperband(1, 81), Median(trials=1)]), goal=goals, there=st.lists(values), value=values
)
def test_the_best_of_a_rung_and_its_equals_are_never_stopped(
    rule: StopRule, goal: Goal, there: list[float], value: float
) -> None:
    who = Judged(rule, goal)
    best = max([*there, value]) if goal == "maximize" else min([*there, value])
    assert not at(who, best, there).stop


@given(
    rule=st.sampled_from([ASHA, Asha(1, 9, 2), Median(trials=1), Threshold(3, 0.0)]),
    goal=goals,
    there=st.lists(values),
    pair=st.tuples(values, values),
)
def test_a_better_value_is_never_stopped_where_a_worse_one_goes_on(
    rule: StopRule, goal: Goal, there: list[float], pair: tuple[float, float]
) -> None:
    who = Judged(rule, goal)
    worse, better = sorted(pair, reverse=goal == "minimize")
    assert at(who, better, there).stop <= at(who, worse, there).stop


@given(goal=goals, there=st.lists(values, min_size=1), value=values, eta=st.integers(2, 5))
def test_turning_values_and_goal_around_changes_no_verdict(
    goal: Goal, there: list[float], value: float, eta: int
) -> None:
    other: Goal = "minimize" if goal == "maximize" else "maximize"
    turned = at(Judged(Asha(1, 9, eta), other), -value, [-each for each in there])
    assert at(Judged(Asha(1, 9, eta), goal), value, there).stop == turned.stop


@given(there=st.lists(values, min_size=9, unique=True), eta=st.integers(2, 4), value=values)
def test_asha_stops_all_but_the_best_share(there: list[float], eta: int, value: float) -> None:
    better = sum(each > value for each in there)
    kept = (len(there) + 1) // eta
    assert at(Judged(Asha(1, 9, eta), "maximize"), value, there).stop == (better >= kept)


@given(
    rule=st.sampled_from([ASHA, Hyperband(1, 81), Median(trials=1), Threshold(3, 2e6)]),
    there=st.lists(values),
    value=values,
)
@pytest.mark.parametrize("source", list(Source))
def test_the_default_and_the_champion_are_exempt(
    source: Source, rule: StopRule, there: list[float], value: float
) -> None:
    who = judged(rule, "maximize", 0, source)
    assert who.exempt == (source in EXEMPT) == (source in (Source.DEFAULT, Source.CHAMPION))
    if who.exempt:
        assert not at(who, value, there).stop
        standing = course(judged(Patience(1), "maximize", 0, source), [0.1, 0.1, 0.1])
        assert [step.decision for step in standing] == [None] * 3
