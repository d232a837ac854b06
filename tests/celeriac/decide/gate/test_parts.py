"""The parts of the gate: Student's t, the designs, the levels over slices, and guards as a file writes them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from celeriac.decide.gate import Evidence, GateRules, NightTally, fdr_level
from celeriac.decide.gate.contender import NEAR_MISS, SPARED, after, factor, night_level
from celeriac.decide.gate.designs import BY_NAME, Design, choose
from celeriac.decide.gate.records import Past
from celeriac.decide.gate.student import f_upper_tail, upper_quantile, upper_tail
from celeriac.domain.guards import Bound, Guard, parse_guards, write_guards


@given(t=st.floats(-60, 60), df=st.floats(1, 400))
def test_students_t_is_scipys(t: float, df: float) -> None:
    assert upper_tail(t, df) == pytest.approx(stats.t.sf(t, df), rel=1e-9, abs=1e-14)


@given(p=st.floats(1e-8, 0.999), df=st.floats(1, 400))
def test_its_quantile_is_the_inverse(p: float, df: float) -> None:
    assert upper_tail(upper_quantile(p, df), df) == pytest.approx(p, rel=1e-8)


@given(f=st.floats(0.01, 50), df1=st.integers(1, 40), df2=st.integers(1, 200))
def test_the_ratio_of_variances_is_scipys(f: float, df1: int, df2: int) -> None:
    assert f_upper_tail(f, df1, df2) == pytest.approx(stats.f.sf(f, df1, df2), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("design", BY_NAME.values(), ids=lambda d: d.name)
def test_a_designs_p_grows_with_its_statistic_and_stays_below_the_union_bound(design: Design) -> None:
    grid = [10 ** (-9 + k / 20) for k in range(220)]
    ps = [design.p(each) for each in grid]
    assert ps == sorted(ps)
    assert all(p <= min(1.0, each) for p, each in zip(ps, grid, strict=True))
    assert ps[-1] == 1.0
    for p in (1e-8, 1e-5, 0.001, 0.045, 0.2):
        assert design.p(design.statistic(p)) == pytest.approx(p, rel=1e-6)


@pytest.mark.parametrize("design", BY_NAME.values(), ids=lambda d: d.name)
def test_the_shipped_table_is_what_its_simulation_gives(design: Design) -> None:
    from benchmarks.nights.designs import simulate

    found = simulate(design.looks, design.stops, design.past, 0.0, 60_000, seed=99)
    for statistic in (0.02, 0.07, 0.3):
        p = design.p(statistic)
        assert abs((found <= statistic).mean() - p) < 4 * math.sqrt(p * (1 - p) / 60_000)


def test_the_design_is_the_shortest_that_is_strong_enough() -> None:
    assert choose(18, None).looks[-1] == 18
    assert choose(10, None).looks[-1] == 10
    assert choose(2, None).looks[-1] == 7
    assert choose(18, Past(2, 8, 1.0, 1.0)).past is False  # too little is known
    assert choose(18, Past(9, 40, 2**0.5, 1.0)).name == "known-3-5-8-12-17"
    assert choose(18, Past(9, 40, 1.0, 1.0)).name == "known-2-3-4-6-9"
    assert choose(18, Past(9, 40, 0.2, 1.0)).name == "known-2-3-4-5"
    assert choose(18, Past(9, 40, 0.0, 0.0)).name == "known-3-5-8-12-17"


@given(weight=st.floats(0.5, 3.0))
def test_a_near_miss_spends_what_was_spared(weight: float) -> None:
    rules = GateRules("maximize")
    start = night_level(rules.alpha) * weight
    area, _ = integrate.quad(lambda p: factor(p, weight, rules), start, NEAR_MISS)
    assert area == pytest.approx(SPARED, rel=1e-6)
    assert factor(start, weight, rules) == factor(NEAR_MISS, weight, rules) == 0.0


def test_with_fdr_a_nights_factor_is_an_e_value() -> None:
    rules = GateRules("maximize", fdr=0.1)
    area, _ = integrate.quad(lambda p: factor(p, 1.0, rules), 0.0, 1.0, points=[NEAR_MISS])
    assert area == pytest.approx(1.0, rel=1e-3)


def test_a_challenger_whose_weight_falls_below_a_half_is_no_contender_any_more() -> None:
    rules = GateRules("maximize", fdr=0.1)  # its factor is log(0.2 / p) / 0.2: a half at 0.18097
    kept = after(Evidence(), 0.1809, rules, covers=True, passed=False)
    assert kept is not None
    assert kept.nights == 1
    assert kept.weight == pytest.approx(0.5, abs=0.01)
    assert after(Evidence(), 0.1811, rules, covers=True, passed=False) is None
    assert after(Evidence(1, 0.9), 0.1809, rules, covers=True, passed=False) is None


def test_the_level_rises_with_promotions_and_falls_with_tests_but_not_to_nothing() -> None:
    start = fdr_level([], 40, 0.1).level
    quiet = fdr_level([NightTally(40 * start, 0)], 40, 0.1).level
    busy = fdr_level([NightTally(40 * start, 3)], 40, 0.1).level
    assert quiet < start < busy
    assert fdr_level([NightTally(0.2, 0)], 40, 0.1).level == 0.0, "what was overspent is no level below nothing"
    nights: list[NightTally] = []
    for _ in range(1000):
        nights.append(NightTally(40 * fdr_level(nights, 40, 0.1).level, 0))
    assert nights[-1].spent == pytest.approx(0.1 / 60, rel=1e-3)
    assert sum(night.spent for night in nights) <= 0.1 * (0.5 + 1000 / 60)
    assert "0 promotions in 1000 nights" in fdr_level(nights, 40, 0.1).reason


def test_levels_that_cannot_be_are_refused() -> None:
    for slices, fdr, weight in ((0, 0.1, 1.0), (4, 0.9, 1.0), (4, 0.1, 0.0)):
        with pytest.raises(ValueError, match=f"not {fdr}, {slices}, {weight}"):
            fdr_level([], slices, fdr, weight)


@given(weights=st.lists(st.floats(0.5, 500.0), min_size=1, max_size=20), promoted=st.integers(0, 5))
def test_all_slices_together_never_spend_more_than_there_is(weights: list[float], promoted: int) -> None:
    nights = [NightTally(0.02, promoted)]
    there = 0.1 * (0.5 + 1 / 60 + promoted) - 0.02
    spent = sum(weight * fdr_level(nights, len(weights), 0.1, weight).level for weight in weights)
    assert spent <= there * (1 + 1e-12)


def test_guards_are_read_and_written() -> None:
    given = {"latency_ms": {"max": 20}, "recall": {"at_least": "champion - 0.01", "max": " champion "}}
    guards = parse_guards(given)
    assert guards == (
        Guard("latency_ms", max=Bound(20.0)),
        Guard("recall", max=Bound(0.0, of_champion=True), at_least=Bound(-0.01, of_champion=True)),
    )
    assert parse_guards(write_guards(guards)) == guards


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"recall": {"least": 1}}, "recall: a guard is `max`, `at_least` or both"),
        ({"recall": 3}, "recall: a guard is"),
        ({"recall": {"max": "champion * 2"}}, r"recall: a bound is a number, `champion`, or `champion - NUMBER`"),
        ({"recall": {"max": "champion - x"}}, "recall: a bound is a number"),
        ({"recall": {"max": True}}, "recall: a bound is a number"),
    ],
)
def test_a_guard_that_cannot_be_read_is_named(given: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        parse_guards(given)
