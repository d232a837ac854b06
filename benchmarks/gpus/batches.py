"""Batches that follow the devices. Bars: in 100,000 plans every sample is seen once, no device takes more than fits,
and the weights sum to one; the loss curve is the same within 1e-5 on 1, 2, 3 and 4 processes and on one with
accumulation.
"""

from math import fsum
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from benchmarks.gpus.training import Run, losses_of
from celeriac.batch_plan import BatchPlan, batch_plan

PLANS = 100_000
#: Global batches of 500 samples: one that divides by all worlds, and two that do not, nor leave whole last batches.
BATCHES = (60, 64, 77)
WORLDS = (1, 2, 3, 4)
BOUND = 1e-5


def measure() -> dict[str, Any]:
    """Plans that were checked, and for each global batch how far the curves lie apart."""
    return {"plans": plans(PLANS), "curves": {str(batch): apart(batch) for batch in BATCHES}, "bound": BOUND}


def broken(figures: dict[str, Any]) -> list[str]:
    """The bars that these figures do not meet; a plan that is wrong has raised."""
    failed = [] if figures["plans"] >= PLANS else [f"{figures['plans']} plans of {PLANS} were checked"]
    for batch, each in figures["curves"].items():
        failed += [f"batch {batch} on {on}: {far:.3g} apart" for on, far in each["apart"].items() if not far <= BOUND]
        failed += [] if each["falls_by"] > 0.1 else [f"batch {batch}: nothing was learned"]
    return failed


def plans(count: int) -> int:
    """Check so many drawn plans; how many were. Raises AssertionError with the smallest plan that is wrong."""
    checked = 0

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(1, 8192), st.integers(1, 1024), st.integers(1, 64))
    def check(samples: int, most: int, world: int) -> None:
        nonlocal checked
        checked += 1
        assert_exact(batch_plan(samples, most, world), samples, most, world)

    check()
    return checked


def assert_exact(plan: BatchPlan, samples: int, most: int, world: int) -> None:
    """Samples exact, none above its card, weights that sum to one, no more steps than it takes."""
    sizes = [size for step in plan.micro_batches for size in step]
    assert sum(sizes) == plan.global_batch == samples
    assert max(sizes) <= most
    assert min(sizes) >= 0
    assert all(len(step) == world for step in plan.micro_batches)
    assert abs(fsum(size / samples for size in sizes) - 1.0) < 1e-12
    assert plan.steps == -(-samples // (most * world))


def apart(batch: int) -> dict[str, Any]:
    """The curve of one process that takes the whole batch at once, and how far others lie from it at most."""
    whole = losses_of(Run(batch, most=batch))
    others = {f"{world} processes": Run(batch, most=batch, world=world) for world in WORLDS[1:]}
    others |= {"1 with accumulation": Run(batch, most=13), "3 with accumulation": Run(batch, most=7, world=3)}
    found = {}
    for name, run in others.items():
        losses = losses_of(run)
        assert len(losses) == len(whole)
        found[name] = max(abs(ours - theirs) for ours, theirs in zip(whole, losses, strict=True))
    return {"steps": len(whole), "falls_by": whole[0] - min(whole), "apart": found}
