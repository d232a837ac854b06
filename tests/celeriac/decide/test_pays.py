"""Does tuning pay tonight?"""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.decide.pays import PastNight, PaysDecision, decide_pays, noise_of_looks

NOISE = 0.01


def quiet(nights: int, *, drift: bool = False) -> list[PastNight]:
    """Nights with one champion, whose score goes up and down around 0.9; searched on the first two."""
    return [
        PastNight(
            0.9 + NOISE * (0.0, 0.9, -0.9)[n % 3],
            "full" if n < 2 else "skip",
            drift=(0.0, 1.0, -1.0)[n % 3] if drift else None,
            device_s=100.0 if n < 2 else 4.0,
        )
        for n in range(nights)
    ]


def varied(seed: int) -> list[PastNight]:
    """Ten nights with noise of their own."""
    rng = random.Random(seed)
    return [PastNight(0.9 + rng.gauss(0, NOISE), "full" if n < 2 else "skip", device_s=100.0) for n in range(10)]


def test_a_champion_that_scores_as_ever_is_left_alone() -> None:
    found = decide_pays(0.9, quiet(12), "maximize", noise=NOISE)
    assert found.action == "skip"
    assert (found.price_s, found.saved_s) == (0.0, 100.0)
    assert found.chance is not None
    assert found.chance < 0.1
    assert "less than it costs" in found.reason


def test_a_fall_that_noise_cannot_explain_is_searched_at_once_and_one_bad_night_is_not() -> None:
    history = quiet(12)
    assert decide_pays(0.9 - 6 * NOISE, history, "maximize", noise=NOISE).action == "full"
    assert decide_pays(0.9 - 0.5 * NOISE, history, "maximize", noise=NOISE).action == "skip"


def test_several_bad_nights_are_searched() -> None:
    history = quiet(12)
    bad = [PastNight(0.9 - 2.2 * NOISE, "skip") for _ in range(4)]
    assert decide_pays(0.9 - 2.2 * NOISE, [*history, *bad], "maximize", noise=NOISE).action != "skip"


def test_searches_that_promoted_nothing_speak_against_a_gap() -> None:
    history = quiet(12)
    bad = [PastNight(0.9 - 3 * NOISE, "skip") for _ in range(3)]
    tried = [replace(each, action="full") for each in bad]
    before = decide_pays(0.9 - 3 * NOISE, [*history, *bad], "maximize", noise=NOISE)
    after = decide_pays(0.9 - 3 * NOISE, [*history, *tried], "maximize", noise=NOISE)
    assert before.expected_gain is not None
    assert after.expected_gain is not None
    assert after.expected_gain < before.expected_gain / 2


def test_a_drift_value_raises_the_expectation_and_does_not_decide_alone() -> None:
    history = quiet(12, drift=True)
    low = decide_pays(0.9 - 0.5 * NOISE, history, "maximize", noise=NOISE, drift=0.0)
    high = decide_pays(0.9 - 0.5 * NOISE, history, "maximize", noise=NOISE, drift=6.0)
    assert low.chance is not None
    assert high.chance is not None
    assert high.chance > 3 * low.chance
    assert (low.action, high.action) == ("skip", "full")


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_drift_value_far_from_the_usual_is_as_one_that_is_just_clear(sign: float) -> None:
    history = quiet(12, drift=True)
    clear, far = (decide_pays(0.9, history, "maximize", noise=NOISE, drift=sign * size) for size in (60.0, 1e9))
    assert far == clear


def test_a_contender_is_confirmed_first() -> None:
    found = decide_pays(0.5, quiet(12), "maximize", contender=True)
    assert found.action == "confirm"
    assert found.price_s < 100.0


def test_without_history_it_searches_to_learn() -> None:
    found = decide_pays(0.9, [], "maximize")
    assert found == PaysDecision("full", "too few looks at champions to know their noise", None, 0.0)
    assert decide_pays(0.9, quiet(3), "maximize").action == "full"
    assert decide_pays(0.9, quiet(3), "maximize", noise=NOISE).action == "skip"  # the sisters know it


def test_no_champion_is_left_alone_for_ever() -> None:
    found = decide_pays(0.9, quiet(30), "maximize", noise=NOISE)
    assert found.action == "full"
    assert "none for 28 nights" in found.reason


def test_looks_without_noise_are_taken_at_their_word() -> None:
    history = [PastNight(0.9, "skip") for _ in range(8)]
    assert decide_pays(0.9, history, "maximize").action == "skip"
    fallen = decide_pays(0.89, history, "maximize")
    assert fallen.action == "full"
    assert fallen.expected_gain == pytest.approx(0.01)


def test_a_look_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="tonight is nan"):
        decide_pays(float("nan"), quiet(8), "maximize", noise=NOISE)


def test_noise_is_told_by_one_champions_nights() -> None:
    history = [
        PastNight(1.0, "full", promoted=True, after=5.0),
        PastNight(5.1, "skip"),
        PastNight(5.0, "skip"),
        PastNight(None, "full"),
        PastNight(5.0, "skip"),
        PastNight(5.1, "skip"),
        PastNight(5.0, "skip"),
    ]
    assert noise_of_looks([history]) == pytest.approx(1.4826 * 0.1 / 2**0.5)
    assert noise_of_looks([history[:3]]) is None


@given(seed=st.integers(0, 1000), behind=st.floats(-2, 6), scale=st.sampled_from([0.01, 3.0, 1000.0]))
@settings(max_examples=30, deadline=None)
def test_scale_and_goal_change_nothing_but_the_units(seed: int, behind: float, scale: float) -> None:
    def seen(value: float | None) -> float | None:
        return None if value is None else -scale * value

    history = varied(seed)
    look = 0.9 - behind * NOISE
    plain = decide_pays(look, history, "maximize")
    turned = [replace(each, look=seen(each.look)) for each in history]
    other = decide_pays(-scale * look, turned, "minimize")
    assert other.action == plain.action
    assert other.chance == pytest.approx(plain.chance, rel=1e-6)
    assert plain.expected_gain is not None
    assert other.expected_gain == pytest.approx(scale * plain.expected_gain, rel=1e-6)


@given(seed=st.integers(0, 1000), behind=st.floats(0, 5))
@settings(max_examples=30, deadline=None)
def test_the_further_the_champion_falls_the_more_is_expected(seed: int, behind: float) -> None:
    history = varied(seed)
    near = decide_pays(0.9 - behind * NOISE, history, "maximize", noise=NOISE)
    far = decide_pays(0.9 - (behind + 1) * NOISE, history, "maximize", noise=NOISE)
    assert near.chance is not None
    assert far.chance is not None
    assert far.chance >= near.chance
