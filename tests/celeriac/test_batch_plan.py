"""The batch plan: every sample once, none above its card, weights that sum to one; and rates that follow the batch."""

from dataclasses import replace
from math import fsum, isclose

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.batch_plan import BatchPlan, Rule, adapted, batch_plan

PLANS = st.tuples(st.integers(1, 100_000), st.integers(1, 5_000), st.integers(1, 64))


def test_256_with_64_a_card_on_3_cards_is_2_steps_of_43_43_42() -> None:
    plan = batch_plan(256, 64, 3)
    assert plan.micro_batches == ((43, 43, 42), (43, 43, 42))
    assert str(plan) == "256 = 2 steps of 43/43/42"


@pytest.mark.parametrize(
    ("world", "steps", "sizes"), [(1, 4, (64,) * 4), (2, 2, (64, 64)), (4, 1, (64,)), (8, 1, (32,))]
)
def test_a_batch_that_divides_is_cut_evenly(world: int, steps: int, sizes: tuple[int, ...]) -> None:
    plan = batch_plan(256, 64, world)
    assert plan.steps == steps
    assert all(batch_plan(256, 64, world, rank=rank).sizes == sizes for rank in range(world))


def test_steps_that_differ_are_told_one_by_one() -> None:
    assert str(batch_plan(10, 3, 2)) == "10 = 2 steps of 3/2"
    assert str(batch_plan(11, 3, 2)) == "11 = 2 steps, 1 of 3/3 and 1 of 3/2"
    assert str(batch_plan(2, 8, 3)) == "2 = 1 step of 1/1/0"


@settings(max_examples=400)
@given(PLANS)
def test_every_sample_is_seen_once_and_no_rank_is_above_its_card(asked: tuple[int, int, int]) -> None:
    global_batch, most, world = asked
    ranks = [batch_plan(global_batch, most, world, rank=rank) for rank in range(min(world, 8))]
    plan = ranks[0]
    assert sum(map(sum, plan.micro_batches)) == global_batch == plan.global_batch
    assert plan.largest <= most
    assert plan.steps == -(-global_batch // (most * world)), "as few steps as fit"
    assert all(max(step) - min(step) <= 1 for step in plan.micro_batches)
    weights = [size / global_batch for step in plan.micro_batches for size in step]
    assert isclose(fsum(weights), 1.0, rel_tol=1e-12)
    assert all(each.weights == tuple(size / global_batch for size in each.sizes) for each in ranks)


@settings(max_examples=100)
@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 7))
def test_the_places_of_all_ranks_are_the_global_batch_in_its_order(global_batch: int, most: int, world: int) -> None:
    ranks = [batch_plan(global_batch, most, world, rank=rank) for rank in range(world)]
    samples = list(range(global_batch))
    seen = [samples[each.places[step]] for step in range(ranks[0].steps) for each in ranks]
    assert [sample for micro_batch in seen for sample in micro_batch] == samples
    assert [tuple(map(len, seen[rank::world])) for rank in range(world)] == [each.sizes for each in ranks]


@given(st.integers(1, 500), st.integers(1, 40), st.integers(1, 7), st.integers(1, 4))
def test_with_a_limit_on_steps_the_batch_shrinks_to_what_fits(samples: int, most: int, world: int, steps: int) -> None:
    plan = batch_plan(samples, most, world, most_steps=steps)
    assert plan.steps <= steps
    assert plan.asked == samples
    assert plan.global_batch == min(samples, most * world * steps) == sum(map(sum, plan.micro_batches))


def test_the_last_batch_of_an_epoch_has_its_own_plan() -> None:
    rest = batch_plan(256, 64, 3, rank=2).of(100)
    assert rest.micro_batches == ((34, 33, 33),)
    assert (rest.rank, rest.asked, rest.global_batch) == (2, 100, 100)


@pytest.mark.parametrize(
    ("given_", "says"),
    [((0, 1, 1), "global_batch"), ((1, 0, 1), "per_device_max"), ((1, 1, 0), "world"), ((1, 1, -1), "world")],
)
def test_numbers_below_one_are_refused_by_name(given_: tuple[int, int, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        batch_plan(*given_)


def test_what_is_no_whole_number_or_no_rank_is_refused() -> None:
    with pytest.raises(TypeError, match="global_batch must be a whole number"):
        batch_plan(2.5, 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="per_device_max"):
        batch_plan(2, True)
    with pytest.raises(ValueError, match="rank 3"):
        batch_plan(8, 8, 3, rank=3)


def test_sgd_follows_linearly_and_adam_by_the_square_root() -> None:
    plan = batch_plan(256, 64, 1, most_steps=1)
    assert plan.global_batch == 64
    sgd, adam = adapted(0.1, plan, "linear"), adapted(0.1, plan, Rule.SQUARE_ROOT)
    assert sgd.rate == pytest.approx(0.025)
    assert sgd.betas(0.9, 0.999) == (0.9, 0.999)
    assert sgd.eps(1e-8) == 1e-8
    assert adam.rate == pytest.approx(0.05)
    assert adam.betas(0.9, 0.999) == pytest.approx((0.975, 0.99975))
    assert adam.eps(1e-8) == pytest.approx(2e-8)
    assert str(sgd) == "0.1 -> 0.025 (linear rule, Goyal 2017)"


def test_a_rate_grows_by_warm_up_and_shrinks_at_once() -> None:
    larger = adapted(0.1, _grown(), "linear", warmup_steps=4)
    assert [larger.at(step) for step in (0, 1, 2, 4, 9)] == pytest.approx([0.1, 0.175, 0.25, 0.4, 0.4])
    smaller = adapted(0.1, batch_plan(256, 64, 1, most_steps=1), "linear", warmup_steps=4)
    assert smaller.at(0) == smaller.rate


def test_a_rule_of_another_name_and_a_rate_of_nothing_are_refused() -> None:
    plan = batch_plan(8, 8)
    with pytest.raises(ValueError, match="linear, square root"):
        adapted(0.1, plan, "cubic")
    with pytest.raises(ValueError, match="above 0"):
        adapted(0.0, plan, "linear")
    with pytest.raises(ValueError, match="warmup_steps"):
        adapted(0.1, plan, "linear", warmup_steps=-1)


def _grown() -> BatchPlan:
    """Four times the batch that the rate belongs to."""
    return replace(batch_plan(256, 64, 4), asked=64)
