"""Which trials train together, and what follows when that went wrong: decided on plain records."""

from hypothesis import given
from hypothesis import strategies as st

from celeriac.decide.buffer import Depth, depth, lone
from celeriac.decide.pack import after_pack_fault, lead_number, leaders, shape_key, stay_together, take_along
from celeriac.decide.turn import Limits, what_next
from celeriac.domain.records import Claim, Counts, Fault, PackCandidate, PackChoices, PackLimit, Resources, TrialState
from tests.celeriac.decide.records import snapshot, study, trial

SHAPE = ("layers", "width")


def waiting(number: int, width: int = 8, **more: object) -> PackCandidate:
    return PackCandidate(number, {"lr": 0.1 * number, "width": width}, **more)  # type: ignore[arg-type]


def choices(
    *others: PackCandidate, lead: PackCandidate | None = None, limits: tuple[PackLimit, ...] = ()
) -> PackChoices:
    return PackChoices(lead or waiting(0), others, limits)


def test_the_oldest_of_equal_shape_come_along() -> None:
    found = take_along(choices(waiting(1), waiting(2, 16), waiting(3), waiting(4), waiting(5)), 4, SHAPE)
    assert found.numbers == (1, 3, 4)
    assert found.reason == "4 is the most that it may have"
    few = take_along(choices(waiting(1), waiting(2, 16)), 4, SHAPE)
    assert few.numbers == (1,)
    assert few.reason == "no more trials of this shape wait at their start"
    assert take_along(choices(waiting(1), waiting(2, 16)), 4, ()).numbers == (1, 2)


def test_a_parameter_that_is_not_active_is_part_of_the_shape() -> None:
    assert shape_key({"width": 8}, SHAPE) != shape_key({"width": 8, "layers": 2}, SHAPE)
    assert shape_key({"width": 8, "lr": 1}, SHAPE) == shape_key({"width": 8, "lr": 2}, SHAPE)


def test_trials_that_stand_at_another_step_do_not_come_along() -> None:
    lead = waiting(0, step=4)
    found = take_along(choices(waiting(1), waiting(2, step=4), waiting(3, step=3), lead=lead), 8, SHAPE)
    assert found.numbers == (2,)
    assert "at step 4" in found.reason


def test_who_ran_out_of_memory_by_itself_runs_alone() -> None:
    assert take_along(choices(waiting(1), lead=waiting(0, short=True)), 8, SHAPE).numbers == ()
    assert take_along(choices(waiting(1, short=True), waiting(2)), 8, SHAPE).numbers == (2,)


def test_what_a_split_pack_has_left_holds_for_its_trials_and_memory_for_its_shape() -> None:
    four = [waiting(n) for n in range(1, 9)]
    memory = PackLimit(99, {"width": 8}, 4, by_memory=True)
    assert len(take_along(choices(*four, limits=(memory,)), 8, SHAPE).numbers) == 3
    elsewhere = PackLimit(99, {"width": 16}, 4, by_memory=True)
    assert len(take_along(choices(*four, limits=(elsewhere,)), 8, SHAPE).numbers) == 7
    alone = PackLimit(2, {"width": 8}, 1, by_memory=False)
    assert take_along(choices(*four, limits=(alone,)), 4, SHAPE).numbers == (1, 3, 4)
    assert take_along(choices(*four, lead=waiting(2), limits=(alone,)), 4, SHAPE).numbers == ()
    in_twos = PackLimit(2, {"width": 8}, 2, by_memory=False)
    assert take_along(choices(*four, limits=(in_twos,)), 4, SHAPE).numbers == (1, 3, 4), "there are two without it"
    assert take_along(choices(*four[1:], limits=(in_twos,)), 4, SHAPE).numbers == (2,)


limit = st.builds(PackLimit, st.integers(0, 12), st.just({"width": 8}), st.integers(1, 6), st.booleans())


@given(st.sets(st.integers(1, 12)), st.integers(1, 8), st.lists(limit, max_size=6))
def test_no_pack_is_larger_than_any_of_its_trials_may_have(
    numbers: set[int], pack: int, limits: list[PackLimit]
) -> None:
    given_ = choices(*(waiting(n) for n in sorted(numbers)), limits=tuple(limits))
    found = (0, *take_along(given_, pack, SHAPE).numbers)
    assert len(found) <= pack
    assert list(found) == sorted(set(found))
    if len(found) > 1:
        assert all(len(found) <= each.most for each in limits if each.by_memory or each.number in found)


def test_who_begins_elsewhere_does_not_stay() -> None:
    assert stay_together({3: 5, 4: 5, 9: 0}, 3) == {
        9: "it begins at step 0 and its pack at step 5: it goes on in another one"
    }


def test_memory_halves_a_pack_and_what_nobody_owns_runs_each_alone() -> None:
    memory = after_pack_fault(Fault.OUT_OF_MEMORY, 9, called=True)
    assert memory is not None
    assert (memory.most, memory.charges) == (4, False)
    for fault in (Fault.USER_BUG, Fault.TIMEOUT, Fault.NOT_FINITE):
        found = after_pack_fault(fault, 9, called=True)
        assert found is not None
        assert found.most == 1
    for fault in Fault:
        assert after_pack_fault(fault, 1, called=True) is None, "a trial alone has its own faults"
    assert after_pack_fault(Fault.PREEMPTED, 9, called=True) is None
    assert after_pack_fault(Fault.INFRASTRUCTURE, 9, called=True) is None


def test_what_went_wrong_before_the_objective_was_called_is_charged_once() -> None:
    found = after_pack_fault(Fault.USER_BUG, 9, called=False)
    assert found is not None
    assert (found.most, found.charges) == (None, True)


def test_a_ticket_leads_a_pack() -> None:
    ready = tuple(range(10, 30))
    assert leaders(ready, 9, 8) == (10, 18, 26)
    assert leaders(ready, 9, 8, whole=True) == (10, 18)
    assert leaders(ready, 1, 8) == (10,)
    assert leaders(ready, 9, 8, queued=1) == (17, 25)
    assert leaders(ready, 2, 0) == (10, 11), "without packs a ticket is a trial's"
    assert [lead_number(number, 4) for number in (0, 3, 4, 9)] == [0, 0, 4, 8]


def test_a_claim_counts_packs() -> None:
    record = study(counts=Counts(waiting=20, queued=1, running=9, scored=33), parallel=40, ran_s=66.0)
    claim = Claim.of(record, trials=100, resources=Resources(), age_s=1.0, pack=16).in_packs(2)
    assert (claim.running, claim.queued, claim.ready, claim.left) == (2, 1, 2, 3)
    assert (claim.parallel, claim.finished, claim.mean_s) == (3, 3, 22.0)
    assert Claim.of(record, trials=100, resources=Resources(), age_s=1.0).in_packs(2).running == 9


def test_the_buffer_holds_whole_packs() -> None:
    fresh = study()
    assert depth(fresh, 2, lone(fresh, 2, 16), 16) == Depth(now=2, tickets=3, waiting=4 * 16 - 3)
    busy = study(counts=Counts(running=32))
    assert depth(busy, 2, lone(busy, 2, 16), 16).now == 0


def test_no_pack_starts_before_it_is_full_unless_no_more_trials_come() -> None:
    limits = Limits(100, pack=8)

    def next_with(count: int, limits: Limits = limits, **more: int):  # type: ignore[no-untyped-def]
        counts = Counts(waiting=count, **more)
        return what_next(
            snapshot(study(counts=counts), tuple(trial(n, TrialState.WAITING) for n in range(count))), limits, 2
        )

    few = next_with(5)
    assert (few.queue, few.add) == ((), 8)
    assert next_with(16).queue == (0, 8)
    assert next_with(5, Limits(5, pack=8)).queue == (0,)
    assert next_with(7, Limits(8, pack=8), queued=1).queue == (), "they come along with the one that is queued"


def test_splitting_ends() -> None:
    active, rounds = 64, 0
    while (split := after_pack_fault(Fault.OUT_OF_MEMORY, active, called=True)) is not None:
        assert split.most is not None
        active, rounds = split.most, rounds + 1
    assert rounds == 6
