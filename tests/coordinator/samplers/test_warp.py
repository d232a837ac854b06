"""The warp is monotone, standardises, and is read back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import skew

from coordinator.samplers.warp import warp_of

LOSSES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60)


@given(LOSSES)
@settings(max_examples=200, deadline=None)
def test_order_is_kept_and_what_was_seen_has_mean_0_and_deviation_1(losses: list[float]) -> None:
    seen = np.array(losses)
    warped = warp_of(seen)(seen)
    assert np.isfinite(warped).all()
    assert (np.diff(warped[np.argsort(seen, kind="stable")]) >= -1e-9).all()
    if warped.any():
        assert warped.mean() == pytest.approx(0.0, abs=1e-6)
        assert warped.std() == pytest.approx(1.0, abs=1e-6)


@given(LOSSES)
@settings(max_examples=200, deadline=None)
def test_what_lies_below_the_fence_is_read_back(losses: list[float]) -> None:
    seen = np.array(losses)
    warp = warp_of(seen)
    warped = warp(seen)
    if warped.any():
        back = warp.back(warped)
        expected = np.minimum(seen, warp.fence * warp.scale)
        assert back == pytest.approx(expected, rel=1e-4, abs=1e-4 * float(np.ptp(expected)))


def test_a_wildly_bad_loss_flattens_nothing_and_a_wildly_good_one_stands_out() -> None:
    rng = np.random.default_rng(0)
    usual = rng.random(30)
    bad = warp_of(np.append(usual, 1e9))(np.append(usual, 1e9))
    assert np.ptp(bad[:-1]) > 2.0
    good = warp_of(np.append(usual, -5.0))(np.append(usual, -5.0))
    assert good[-1] < good[:-1].min() - 0.5


def test_a_skewed_loss_becomes_nearly_normal() -> None:
    losses = np.exp(np.random.default_rng(1).standard_normal(200))
    assert abs(skew(warp_of(losses)(losses))) < 0.3 < skew(losses)


def test_the_slope_is_the_derivative() -> None:
    losses = np.random.default_rng(2).gamma(2.0, size=50)
    warp = warp_of(losses)
    asked = np.linspace(losses.min() + 0.01, warp.fence * warp.scale - 0.01, 20)
    step = 1e-5
    assert warp.slope(asked) == pytest.approx((warp(asked + step) - warp(asked - step)) / (2 * step), rel=1e-3)
    assert warp.slope(np.array([warp.fence * warp.scale + 1.0])).tolist() == [0.0]


@pytest.mark.parametrize("losses", [[3.0], [3.0] * 5, [0.0, 0.0]])
def test_equal_losses_become_zeros(losses: list[float]) -> None:
    warp = warp_of(np.array(losses))
    assert not warp(np.array(losses)).any()
    assert warp.back(np.zeros(1))[0] == pytest.approx(losses[0])
