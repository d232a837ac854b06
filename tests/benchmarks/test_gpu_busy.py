"""The figures of the busy bench: what counts as busy, and which shares break the bar."""

import pytest

from benchmarks.gpus.busy import broken, busy_share


def test_the_time_counts_in_which_every_slot_had_work() -> None:
    times = {"a": [(0.0, 2.0), (2.5, 4.0), (4.0, 9.0)], "b": [(1.0, 5.0)]}
    assert busy_share(times) == pytest.approx((2.0 + 1.5 + 1.0 + 4.0) / 10.0)


def test_a_share_below_its_bar_is_told() -> None:
    assert broken({"busy_2s": 0.971, "busy_60s": 0.995}) == []
    assert broken({"busy_2s": 0.9, "busy_60s": 0.995}) == ["trials of 2s: 90.00% busy, below 97%"]
