"""The batches' bench at a small size: drawn plans, and real processes that exchange gradients over gloo."""

import pytest

from benchmarks.gpus.batches import assert_exact, broken, plans
from benchmarks.gpus.training import Run, losses_of
from celeriac.batch_plan import BatchPlan


def test_drawn_plans_are_exact() -> None:
    assert plans(300) >= 300


def test_a_plan_over_the_card_or_with_a_sample_lost_is_found() -> None:
    """What `runai.elastic` makes of 256 with 64 a card on 3 cards: 255 samples, 85 a card."""
    with pytest.raises(AssertionError):
        assert_exact(BatchPlan(256, 255, 64, 3, 0, ((85, 85, 85),)), 256, 64, 3)
    with pytest.raises(AssertionError):
        assert_exact(BatchPlan(256, 256, 64, 3, 0, ((86, 85, 85),)), 256, 64, 3)


def test_a_curve_that_lies_apart_breaks_the_bar() -> None:
    curve = {"falls_by": 0.5, "apart": {"2 processes": 1e-12, "3 processes": 2e-5}}
    assert broken({"plans": 100_000, "curves": {"60": curve}}) == ["batch 60 on 3 processes: 2e-05 apart"]
    assert broken({"plans": 9, "curves": {}}) == ["9 plans of 100000 were checked"]


@pytest.mark.slow
@pytest.mark.proof
@pytest.mark.timeout(240)
def test_processes_that_share_a_batch_which_does_not_divide_learn_as_one() -> None:
    """77 of 500 samples on 3 processes, 7 at once each: four uneven steps, and a last batch of 38."""
    whole = losses_of(Run(77, most=77, epochs=2))
    shared = losses_of(Run(77, most=7, world=3, epochs=2))
    assert shared == pytest.approx(whole, abs=1e-9)
    assert min(whole) < whole[0] - 0.1
