"""What attempts that ran out of memory mean for the next one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.decide.memory import after_memory, other_kinds
from celeriac.decide.retry import after_fault
from celeriac.domain.lifecycle import TrialEvent
from celeriac.domain.records import Fault, LiveGpu, MemoryFault, Resources

FAULTS = st.lists(st.builds(MemoryFault, st.sampled_from("AB"), st.none() | st.integers(1, 512)), min_size=1)


def test_with_a_plan_it_goes_on_once_with_half() -> None:
    decision = after_memory([MemoryFault("A", 64)])
    assert (decision.smaller, decision.most_samples, decision.barred) == (True, 32, ())
    assert decision.reason == "with at most 32 samples at once instead of 64, and more accumulation"
    twice = after_memory([MemoryFault("A", 64), MemoryFault("A", 32)])
    assert (twice.smaller, twice.most_samples, twice.barred) == (False, 16, ("A",))


@pytest.mark.parametrize("micro_batch", [None, 1])
def test_without_anything_to_halve_the_kind_is_barred(micro_batch: int | None) -> None:
    decision = after_memory([MemoryFault("A", micro_batch)])
    assert (decision.smaller, decision.barred, decision.reason) == (False, ("A",), "not again on A")


def test_a_kind_on_which_it_failed_without_a_plan_stays_barred_while_it_goes_on_smaller() -> None:
    decision = after_memory([MemoryFault("A", None), MemoryFault("B", 64)])
    assert (decision.smaller, decision.barred) == (True, ("A",))


def test_nothing_is_barred_of_a_trial_that_never_ran_out() -> None:
    decision = after_memory([])
    assert (decision.smaller, decision.barred, decision.most_samples) == (False, (), None)


@given(FAULTS)
def test_no_kind_sees_the_same_work_again(faults: list[MemoryFault]) -> None:
    """A kind on which it failed is barred, or the next attempt takes less at once than any that failed."""
    decision = after_memory(faults)
    planned = [each.micro_batch for each in faults if each.micro_batch]
    for each in faults:
        if each.device_kind not in decision.barred:
            assert decision.smaller
            assert each is faults[-1]
            assert decision.most_samples is not None
            assert decision.most_samples < min(planned)
    assert sum(after_memory(faults[: n + 1]).smaller for n in range(len(faults))) <= 1


@given(FAULTS, st.integers(1, 5), st.booleans())
def test_a_retry_needs_an_attempt_left_and_something_that_differs(
    faults: list[MemoryFault], attempts: int, elsewhere: bool
) -> None:
    memory = after_memory(faults)
    decision = after_fault(
        Fault.OUT_OF_MEMORY,
        faults={"out_of_memory": len(faults) - 1},
        retry_attempts=attempts,
        has_checkpoint=False,
        memory=memory,
        elsewhere=elsewhere,
    )
    goes_on = len(faults) < attempts and (elsewhere or memory.smaller)
    assert decision.trial_event is (TrialEvent.RETRY if goes_on else TrialEvent.FAIL)
    assert decision.reason


GPUS = [LiveGpu("T4", 16, {}), LiveGpu("P4", 8, {}), *[LiveGpu("H200", 141, {"region": "eu"})] * 2]
WHOLE = Resources(gpus=1)


def test_another_kind_suits_if_it_lives_and_has_as_much_memory() -> None:
    found = other_kinds(["T4"], WHOLE, GPUS)
    assert found.is_left
    assert found.barred == {"T4", "P4"}, "what is smaller still is no help"
    assert found.reason == "it ran out of memory on T4, and waits for a GPU other than P4 or T4"
    assert other_kinds([], WHOLE, GPUS).reason == ""
    assert other_kinds(["gone"], WHOLE, GPUS).barred == frozenset(), "all that live will do"


@pytest.mark.parametrize(
    ("short", "asked"),
    [
        (["H200"], WHOLE),
        (["H200", "T4"], WHOLE),
        (["T4"], Resources(gpus=1, labels={"region": "us"})),
        (["T4"], Resources(gpus=1, gpu_memory_bytes=200)),
        (["T4"], Resources(gpus=4, least=3)),
        (["cpu"], Resources()),
    ],
)
def test_where_no_other_kind_suits_nothing_is_barred_and_it_says_so(short: list[str], asked: Resources) -> None:
    found = other_kinds(short, asked, GPUS)
    assert (found.is_left, found.barred) == (False, frozenset())
    assert "no GPU of another kind that suits it is there" in found.reason
    assert other_kinds(["T4"], Resources(gpus=4, least=2), GPUS).is_left
