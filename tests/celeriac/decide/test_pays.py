"""Does tuning pay tonight?"""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.decide.pays import PastNight, PaysDecision, decide_pays, error_of_gain, noise_of_looks

NOISE = 0.01
TRAINING = NOISE / 1.4


def quiet(nights: int, *, drift: bool = False) -> list[PastNight]:
    """Nights with one champion, whose score goes up and down around 0.9. Each fifth was searched, and the pairs found
    nothing.
    """
    history = []
    for n in range(nights):
        night = PastNight(
            0.9 + NOISE * (0.0, 0.9, -0.9)[n % 3],
            "skip",
            drift=(0.0, 1.0, -1.0)[n % 3] if drift else None,
            device_s=4.0,
        )
        searched = replace(night, action="full", device_s=100.0, gain=0.0, error=0.35 * NOISE)
        history.append(searched if n % 5 == 0 else night)
    return history


def varied(seed: int) -> list[PastNight]:
    """Ten nights with noise of their own."""
    rng = random.Random(seed)
    return [PastNight(0.9 + rng.gauss(0, NOISE), "full" if n < 2 else "skip", device_s=100.0) for n in range(10)]


def test_a_champion_that_scores_as_ever_is_left_alone() -> None:
    found = decide_pays(0.9, quiet(12), "maximize", training_sd=TRAINING)
    assert found.action == "skip"
    assert (found.price_s, found.saved_s) == (0.0, 100.0)
    assert found.chance is not None
    assert found.chance < 0.1
    assert "less than it costs" in found.reason


def test_a_fall_that_noise_cannot_explain_is_searched_at_once_and_one_bad_night_is_not() -> None:
    history = quiet(12)
    assert decide_pays(0.9 - 6 * NOISE, history, "maximize", training_sd=TRAINING).action == "full"
    assert decide_pays(0.9 - 0.5 * NOISE, history, "maximize", training_sd=TRAINING).action == "skip"


@pytest.mark.parametrize("times", [-1000, -100, -20, -13, 13, 1000])
def test_a_look_at_another_level_is_searched_once_and_later_nights_are_held_against_that_level(times: float) -> None:
    history, there = quiet(12), 0.9 + times * NOISE
    found = decide_pays(there, history, "maximize", training_sd=TRAINING)
    assert found.action == "full"
    assert found.chance is not None
    assert found.chance > 0.9 or times > 0, "behind, where it fell"
    history.append(PastNight(there, "full", gain=0.0, error=0.35 * NOISE, device_s=100.0))
    again = decide_pays(there + 0.5 * NOISE, history, "maximize", training_sd=TRAINING)
    assert again.action == "skip"
    assert decide_pays(there - 6 * NOISE, history, "maximize", training_sd=TRAINING).action == "full"
    assert decide_pays(0.9, history, "maximize", training_sd=TRAINING).action == "skip", "it was there before"


def test_a_fall_is_searched_however_far_it_goes() -> None:
    for times in range(5, 40):
        assert decide_pays(0.9 - times * NOISE, quiet(12), "maximize", training_sd=TRAINING).action == "full", times


def test_several_bad_nights_are_searched() -> None:
    history = quiet(12)
    bad = [PastNight(0.9 - 2.2 * NOISE, "skip") for _ in range(4)]
    assert decide_pays(0.9 - 2.2 * NOISE, [*history, *bad], "maximize", training_sd=TRAINING).action != "skip"


def test_searches_that_promoted_nothing_speak_against_a_gap() -> None:
    history = quiet(12)
    bad = [PastNight(0.9 - 3 * NOISE, "skip") for _ in range(3)]
    tried = [replace(each, action="full") for each in bad]
    before = decide_pays(0.9 - 3 * NOISE, [*history, *bad], "maximize", training_sd=TRAINING)
    after = decide_pays(0.9 - 3 * NOISE, [*history, *tried], "maximize", training_sd=TRAINING)
    assert before.expected_gain is not None
    assert after.expected_gain is not None
    assert after.expected_gain < before.expected_gain / 2


def searched(gains: list[float], *, promoted: bool) -> list[PastNight]:
    """Each third night is searched in full, and its pairs measure a gain of so many deviations of a look."""
    history = []
    for gain in gains:
        night = PastNight(0.9, "full", promoted, 0.9, gain=gain * NOISE, error=0.3 * NOISE, device_s=100.0)
        history += [night, PastNight(0.9, "skip"), PastNight(0.9, "skip")]
    return history


def test_what_the_pairs_measured_counts_though_nothing_was_promoted() -> None:
    found = [
        decide_pays(0.9, searched([gain] * 3, promoted=False), "maximize", training_sd=TRAINING) for gain in (0, 1)
    ]
    assert [each.action for each in found] == ["skip", "full"]
    assert found[0].expected_gain is not None
    assert found[1].expected_gain is not None
    assert found[1].expected_gain > 10 * found[0].expected_gain


def test_a_slice_that_has_drifted_is_searched_sooner_under_its_next_champion_too() -> None:
    drifts, rests = (searched([gain] * 4, promoted=True) for gain in (0.6, 0.0))
    assert decide_pays(0.9, drifts, "maximize", training_sd=TRAINING).action != "skip"
    assert decide_pays(0.9, rests, "maximize", training_sd=TRAINING).action == "skip"


def test_a_small_search_measures_a_part_of_the_gap() -> None:
    full = searched([0.75] * 2, promoted=False)
    small = [replace(each, action="small") if each.action == "full" else each for each in full]
    after = [decide_pays(0.9, history, "maximize", training_sd=TRAINING).expected_gain for history in (full, small)]
    assert after[0] is not None
    assert after[1] is not None
    assert after[1] > after[0]


def test_a_measure_finer_than_the_grid_is_not_lost_between_its_points() -> None:
    def expected(gain: float) -> float:
        night = replace(quiet(1)[0], gain=gain * NOISE, error=0.001 * NOISE)
        found = decide_pays(0.9, [night], "maximize", training_sd=TRAINING).expected_gain
        assert found is not None
        return found

    some = [expected(gain) for gain in (0.0, 0.24, 0.5, 0.76, 1.0)]
    assert some == sorted(some)
    assert some[-1] > 3 * some[0]


@pytest.mark.parametrize("gain", [-1e300, 1e300])
@pytest.mark.parametrize("error", [0.0, 1e-300, 1e300])
def test_a_measure_without_sense_is_survived(gain: float, error: float) -> None:
    history = [*quiet(4), PastNight(0.9, "full", gain=gain, error=error)]
    found = decide_pays(0.9, history, "maximize", training_sd=TRAINING)
    assert found.expected_gain is not None
    assert 0 <= found.expected_gain < 20 * NOISE


def test_the_error_of_a_gain_is_the_gates_and_no_less_than_that_of_as_many_trainings() -> None:
    assert error_of_gain(8, 0.6, 1.0) == 0.6
    assert error_of_gain(8, 0.1, 1.0) == pytest.approx(0.5)
    assert error_of_gain(8, 0.1, None) == 0.1
    assert error_of_gain(8, None, 1.0) == pytest.approx(0.5)
    assert error_of_gain(0, None, 1.0) is None


def test_a_drift_value_raises_the_expectation_and_does_not_decide_alone() -> None:
    history = quiet(12, drift=True)
    low = decide_pays(0.9 - 0.5 * NOISE, history, "maximize", training_sd=TRAINING, drift=0.0)
    high = decide_pays(0.9 - 0.5 * NOISE, history, "maximize", training_sd=TRAINING, drift=6.0)
    assert low.chance is not None
    assert high.chance is not None
    assert high.chance > 3 * low.chance
    assert (low.action, high.action) == ("skip", "full")


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_drift_value_far_from_the_usual_is_as_one_that_is_just_clear(sign: float) -> None:
    history = quiet(12, drift=True)
    clear, far = (
        decide_pays(0.9, history, "maximize", training_sd=TRAINING, drift=sign * size) for size in (60.0, 1e9)
    )
    assert far == clear


def test_a_contender_is_confirmed_first() -> None:
    found = decide_pays(0.5, quiet(12), "maximize", contender=True)
    assert found.action == "confirm"
    assert found.price_s < 100.0


def test_without_history_it_searches_to_learn() -> None:
    found = decide_pays(0.9, [], "maximize")
    assert found == PaysDecision("full", "too few looks at champions to know their noise", None, 0.0)
    assert decide_pays(0.9, quiet(3), "maximize").action == "full"
    assert decide_pays(0.9, quiet(1), "maximize", training_sd=TRAINING).action == "skip"  # the first night's pairs tell


def test_no_champion_is_left_alone_for_ever() -> None:
    history = [*quiet(11), *(PastNight(0.9 + 2 * NOISE, "skip", device_s=4.0) for _ in range(28))]
    assert decide_pays(0.9 + 2 * NOISE, history[:-1], "maximize", training_sd=TRAINING).action == "skip"
    found = decide_pays(0.9 + 2 * NOISE, history, "maximize", training_sd=TRAINING)
    assert found.action == "full"
    assert "none for 28 nights" in found.reason


def test_looks_without_noise_are_taken_at_their_word() -> None:
    history = [PastNight(0.9, "skip") for _ in range(8)]
    assert decide_pays(0.9, history, "maximize").action == "skip"
    fallen = decide_pays(0.89, history, "maximize")
    assert fallen.action == "full"
    assert fallen.expected_gain == pytest.approx(0.01)


def test_trainings_without_noise_say_nothing_of_the_noise_of_looks() -> None:
    first = PastNight(None, "full", promoted=True, after=0.9, gain=0.1, error=0.0, device_s=100.0)
    found = decide_pays(0.91, [first], "maximize", training_sd=0.0)
    assert found == PaysDecision("full", "too few looks at champions to know their noise", None, 100.0)
    history = [first, *(replace(each, gain=None, error=None) for each in quiet(12))]
    assert decide_pays(0.9, history, "maximize", training_sd=0.0).action == "skip"
    assert decide_pays(0.5, history, "maximize", training_sd=0.0).action == "full"


def test_a_look_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="tonight is nan"):
        decide_pays(float("nan"), quiet(8), "maximize", training_sd=TRAINING)


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
    own = 1.4826 * 0.1 / 2**0.5
    assert noise_of_looks(history) == pytest.approx(own)
    assert noise_of_looks(history[:3]) is None
    assert noise_of_looks(history[:1], 0.05) == pytest.approx(1.4 * 0.05)
    assert noise_of_looks(history, 0.05) == pytest.approx(((4 * own**2 + 4 * (1.4 * 0.05) ** 2) / 8) ** 0.5)


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
    near = decide_pays(0.9 - behind * NOISE, history, "maximize", training_sd=TRAINING)
    far = decide_pays(0.9 - (behind + 1) * NOISE, history, "maximize", training_sd=TRAINING)
    assert near.chance is not None
    assert far.chance is not None
    assert far.chance >= near.chance


FINITE = st.floats(allow_nan=False, allow_infinity=False)
NIGHTS = st.builds(
    PastNight,
    look=st.none() | FINITE,
    action=st.sampled_from(["skip", "confirm", "small", "full"]),
    promoted=st.booleans(),
    after=st.none() | FINITE,
    drift=st.none() | FINITE,
    device_s=st.floats(0, 1e6),
    gain=st.none() | FINITE,
    error=st.none() | st.floats(0, 1e308),
)


@given(look=FINITE, history=st.lists(NIGHTS, max_size=8), training_sd=st.none() | st.floats(0, 1e150))
@settings(max_examples=200, deadline=None)
def test_whatever_the_numbers_it_is_decided(look: float, history: list[PastNight], training_sd: float | None) -> None:
    found = decide_pays(look, history, "minimize", training_sd=training_sd)
    assert found.action in ("skip", "small", "full")
    assert found.reason
