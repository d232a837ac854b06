"""What an objective may return beside its score, and the words for what it may not."""

from typing import Any

import numpy as np
import pytest

import celeriac
from celeriac.result import MOST_BLOCKS, Result, blocks_in, finite_in


def test_the_front_door_and_the_trial_s_module_give_the_same_result() -> None:
    from celeriac.trial import Result as OfTrial

    assert celeriac.Result is OfTrial is Result


@pytest.mark.parametrize(
    ("given", "blocks"),
    [
        (None, []),
        ([1, 0.5], [1.0, 0.5]),
        ((0.25,), [0.25]),
        (np.array([0.5, 2.0]), [0.5, 2.0]),
        ([np.float32(0.5), np.int64(3)], [0.5, 3.0]),
    ],
)
def test_blocks_are_lists_tuples_and_arrays_of_numbers(given: Any, blocks: list[float]) -> None:
    found = blocks_in(given)
    assert found == blocks
    assert all(type(each) is float for each in found)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([0.5, float("nan")], "holdout[1] is nan: it must be a finite number"),
        ([float("-inf")], "holdout[0] is -inf"),
        ([0.5, 0.25, "x"], "holdout[2] must be a number, got str 'x'"),
        ([None], "holdout[0] must be a number, got nothing (None)"),
        ([True], "holdout[0] must be a number, got bool True"),
        ([[0.5]], "holdout[0] must be a number, got list [0.5]"),
        (np.array([[0.5]]), "holdout[0] must be a number, got list [0.5]"),
        ([], "holdout is empty: give one number a block, or leave it out"),
        (0.5, "holdout must be a list of numbers, one a block, got float 0.5"),
        (np.float64(0.5), "holdout must be a list of numbers"),
        ({"monday": 0.5}, "holdout must be a list of numbers, one a block, got dict"),
        ("0.5", "holdout must be a list"),
        ([0.5] * (MOST_BLOCKS + 1), "holdout has 10,001 blocks, 10,000 at most"),
    ],
)
def test_what_is_no_list_of_finite_numbers_is_refused_by_its_block(given: Any, says: str) -> None:
    with pytest.raises((TypeError, ValueError)) as refused:
        blocks_in(given)
    assert says in str(refused.value)


def test_a_drift_is_one_finite_number() -> None:
    assert finite_in(3, "drift") == 3.0
    for wrong in (float("nan"), "far", None):
        with pytest.raises((TypeError, ValueError), match="drift"):
            finite_in(wrong, "drift")
