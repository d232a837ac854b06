"""Whose turn on the fleet: shares, catching up, and who gets the next ticket."""

import heapq
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import log
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from celeriac.decide.credit import Account, settled, trials_behind
from celeriac.decide.share import Share, Slots, next_in_turn, share, spare
from celeriac.domain.records import Claim, Resources


def claim(study_id: int, **changes: Any) -> Claim:
    """A study that could use any number of slots, and has some trials ready."""
    given_: dict[str, Any] = {
        "gpus": 0,
        "parallel": None,
        "may_run": True,
        "running": 0,
        "queued": 0,
        "ready": 100,
        "left": 1000,
        "finished": 0,
        "ran_s": 0.0,
        "age_s": 0.0,
    } | changes
    return Claim(study_id, resources=Resources(gpus=given_.pop("gpus")), **given_)


def test_slots_are_shared_by_those_who_could_use_them() -> None:
    for count, expected in ((1, 30), (2, 15), (4, 8), (30, 1), (35, 1)):
        claims = [claim(k) for k in range(count)]
        assert [share(k, claims, Slots(cpu=30)).slots for k in range(count)] == [expected] * count


def test_what_one_cannot_use_goes_to_the_others() -> None:
    claims = [claim(0, parallel=2), claim(1, ready=1, left=2), claim(2), claim(3)]
    assert [share(k, claims, Slots(cpu=25)).slots for k in range(4)] == [2, 3, 10, 10]
    paused = [claim(0, may_run=False, running=5), claim(1)]
    assert share(0, paused, Slots(cpu=30)) == Share()
    assert share(1, paused, Slots(cpu=30)).now == 25
    assert share(1, [claim(0), claim(1)], Slots(cpu=30), passed={0}).slots == 30
    assert share(9, claims, Slots(cpu=30)) == Share()


def test_a_study_takes_what_the_fleet_lacks_and_no_more_than_its_share() -> None:
    others = [claim(k) for k in range(1, 3)]
    first = share(0, [claim(0), *others], Slots(cpu=30))
    assert (first.now, first.ahead) == (10, 1)
    late = [claim(1, running=15), claim(2, running=14, queued=2)]
    assert share(0, [claim(0), *late], Slots(cpu=30)) == Share(slots=10, now=0, ahead=0, most=11)
    freed = [claim(1, running=15), claim(2, running=13, queued=1)]
    assert share(0, [claim(0), *freed], Slots(cpu=30)).now == 1
    assert next_in_turn([claim(0), *freed], Slots(cpu=30)) == 0
    assert share(2, [claim(0), *freed], Slots(cpu=30)).now == 0


def test_nobody_is_next_when_no_ticket_is_missing_or_nothing_is_ready() -> None:
    assert next_in_turn([claim(0, running=29, queued=2), claim(1)], Slots(cpu=30)) is None
    assert next_in_turn([claim(0, ready=0), claim(1, ready=0)], Slots(cpu=30)) is None
    assert next_in_turn([claim(0, ready=0), claim(1)], Slots(cpu=30)) == 1
    assert next_in_turn([claim(0), claim(1)], Slots(cpu=30), passed={0, 1}) is None
    assert next_in_turn([claim(0)], Slots()) is None


def test_gpu_trials_come_first_on_gpus_and_cpu_trials_share_the_rest() -> None:
    slots = Slots(gpu=4, cpu=6)
    cpu, gpu = claim(0), claim(1, gpus=1)
    assert share(0, [cpu], slots).slots == 10
    assert share(1, [gpu], slots).slots == 4
    assert share(0, [cpu, replace(gpu, running=3, queued=1)], slots).slots == 6
    assert share(0, [cpu, replace(gpu, running=1)], slots).now == 9
    assert share(1, [replace(cpu, running=8), gpu], slots).now == 2  # two CPU trials sit on GPUs
    assert share(1, [gpu], Slots(cpu=6)) == Share(slots=1, now=0, ahead=0, most=2)


def test_long_trials_by_chance_are_made_up_for_and_long_trials_by_nature_are_not() -> None:
    alike = [claim(k, running=1, finished=9, ran_s=540.0, age_s=600.0) for k in range(34)]

    def most(study_id: int, last: Claim) -> int:
        claims = [*alike, last]
        accounts = settled({each.study_id: Account(0) for each in claims}, claims)
        return share(study_id, claims, Slots(cpu=35), (), trials_behind(accounts, claims)).most

    unlucky = claim(34, running=1, finished=5, ran_s=540.0, age_s=600.0)
    assert (most(34, unlucky), most(0, unlucky)) == (3, 2)
    slow = claim(34, running=1, finished=1, ran_s=540.0, age_s=600.0)
    assert most(34, slow) == 2
    had_much = replace(unlucky, ran_s=900.0, finished=8)
    assert most(34, had_much) == 2


def test_who_is_far_behind_catches_up_until_it_has_had_one_and_a_half_times_the_mean_device_time() -> None:
    others = [claim(k, running=2, finished=10, ran_s=100.0, age_s=100.0) for k in range(1, 10)]
    for ran_s, most in ((158.0, 6), (160.0, 3)):  # of a mean of 105.8 and 106
        mine = claim(0, running=5, finished=10, ran_s=ran_s, age_s=100.0)
        assert share(0, [mine, *others], Slots(cpu=20), (), {0: 5.0}).most == most


def test_half_a_trial_tells_who_is_further_behind_and_each_ticket_counts_as_one() -> None:
    level = [claim(0), claim(1)]
    assert [next_in_turn(level, Slots(cpu=30), (), {1: lag}) for lag in (0.2, 0.3)] == [0, 1]
    ahead = [claim(0), claim(1, running=3)]
    assert [share(k, ahead, Slots(cpu=7)).now for k in (0, 1)] == [3, 1]


def test_as_many_tickets_lie_ahead_as_slots_become_free_within_five_seconds_and_one_at_least() -> None:
    for mean_s, ahead in ((5.0, 10), (10.0, 5), (100.0, 1)):
        busy = claim(0, running=10, finished=10, ran_s=10 * mean_s, age_s=100.0)
        assert share(0, [busy], Slots(cpu=10)).ahead == ahead


def test_no_ticket_lies_ahead_that_a_slot_would_take_which_may_not_run_it() -> None:
    assert [share(0, [claim(0, parallel=parallel)], Slots(cpu=4)).most for parallel in (3, 4)] == [3, 5]


def test_slots_are_shared_by_weight_and_the_least_has_one() -> None:
    claims = [claim(0, weight=3.0), claim(1), claim(2, weight=0.01)]
    assert [share(k, claims, Slots(cpu=8)).slots for k in range(3)] == [6, 2, 1]
    small = [claim(0, weight=3.0, parallel=1), claim(1), claim(2, weight=2.0)]
    assert [share(k, small, Slots(cpu=10)).slots for k in range(3)] == [1, 3, 6]


def test_gpu_trials_on_slots_that_are_put_aside_keep_no_cpu_idle() -> None:
    assert share(0, [claim(0), claim(1, gpus=1, running=3)], Slots(gpu=1, cpu=2)).now == 2


claims_ = st.lists(
    st.builds(
        claim,
        st.just(0),
        running=st.integers(0, 5),
        queued=st.integers(0, 3),
        ready=st.integers(0, 5),
        left=st.integers(0, 9),
        finished=st.integers(0, 50),
        parallel=st.none() | st.integers(1, 9),
        gpus=st.integers(0, 1),
        may_run=st.booleans(),
        ran_s=st.floats(0, 1e5),
        age_s=st.floats(0, 1e4),
    ),
    max_size=12,
).map(lambda found: [replace(each, study_id=k) for k, each in enumerate(found)])


@given(claims_, st.integers(0, 20), st.integers(0, 20))
def test_nobody_is_shut_out_and_nothing_is_taken_twice(claims: list[Claim], gpu: int, cpu: int) -> None:
    slots = Slots(gpu, cpu)
    for each in claims:
        mine = share(each.study_id, claims, slots)
        claims_something = each.may_run and each.demand > 0
        assert (mine.slots >= 1) == claims_something
        assert mine.slots <= max(each.demand, 0)
        if mine.now + mine.ahead:
            assert each.held + mine.now + mine.ahead <= mine.most
            assert each.queued + mine.now + mine.ahead <= mine.slots + 1
        # GPU trials run on GPUs alone: those beyond the live GPU slots (theirs were put aside, or are gone) hold none
        # of the slots that are counted here, so a CPU's idle slot stays idle whatever their number.
        on_gpus = min(sum(other.running for other in claims if other.gpus), gpu)
        others = sum(other.running for other in claims if not other.gpus)
        assert mine.now <= max(gpu + cpu - on_gpus - others, 0)
        assert mine.now <= gpu + cpu - on_gpus if not each.gpus else mine.now <= gpu - on_gpus
    following = next_in_turn(claims, slots)
    if following is not None:
        found = share(following, claims, slots)
        assert found.now + found.ahead >= 1


@given(claims_, st.integers(0, 20), st.integers(0, 20))
def test_tickets_stay_few_however_long_they_are_dealt(claims: list[Claim], gpu: int, cpu: int) -> None:
    slots = Slots(gpu, cpu)
    now = {each.study_id: replace(each, queued=0) for each in claims}
    while (following := next_in_turn(list(now.values()), slots)) is not None:
        each = now[following]
        now[following] = replace(each, queued=each.queued + 1, ready=each.ready - 1)
        assert sum(other.queued for other in now.values()) <= gpu + cpu + 2 * len(claims)
    ready = [each.study_id for each in now.values() if each.ready]
    assert not any(share(study_id, list(now.values()), slots).now for study_id in ready)


@dataclass(slots=True)
class Simulated:
    """What became of some claims on one fleet: slots take tickets, ends deal new ones."""

    claims: dict[int, Claim]
    waits: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    def run(self, slots: int, wall_s: float, lasts: Callable[[random.Random, int], float], seed: int) -> "Simulated":
        """Until that second. `waits`: of each study, how long it had no slot, each time until it had one."""
        rng, now, queue, accounts = random.Random(seed), 0.0, list[int](), dict[int, Account]()
        busy: list[tuple[float, int, float]] = []
        without, since = dict.fromkeys(self.claims, 0.0), dict[int, float]()
        while True:
            listed = [replace(each, age_s=now - since.get(k, now)) for k, each in self.claims.items()]
            accounts = settled(accounts, listed)
            following = next_in_turn(listed, Slots(cpu=slots), (), trials_behind(accounts, listed))
            if following is not None:
                queue.append(following)
                self._change(following, queued=1)
            elif queue and len(busy) < slots:
                taken = queue.pop(0)
                lasts_s = lasts(rng, taken)
                since.setdefault(taken, now)
                heapq.heappush(busy, (now + lasts_s, taken, lasts_s))
                if taken in without:
                    self.waits[taken].append(now - without.pop(taken))
                self._change(taken, queued=-1, running=1)
            else:
                now, ended, lasts_s = heapq.heappop(busy)
                if now > wall_s:
                    return self
                self._change(ended, running=-1, finished=1, ran_s=lasts_s)
                if not self.claims[ended].running:
                    without[ended] = now

    def _change(self, study_id: int, **by: float) -> None:
        each = self.claims[study_id]
        self.claims[study_id] = replace(each, **{key: getattr(each, key) + value for key, value in by.items()})

    @property
    def finished(self) -> list[int]:
        """Trials that each study finished."""
        return [each.finished for each in self.claims.values()]


def studies(count: int, **changes: Any) -> Simulated:
    return Simulated({k: claim(k, left=10**6, **changes) for k in range(count)})


def heavy(mean_s: float) -> Callable[[random.Random, int], float]:
    return lambda rng, _: rng.lognormvariate(log(mean_s) - 0.5, 1.0)


def test_the_finished_trials_of_many_studies_stay_close_although_lengths_have_a_heavy_tail() -> None:
    for count in (2, 35):
        found = studies(count).run(10, 900.0, heavy(30.0), seed=count).finished
        assert min(found) > 0
        assert max(found) <= 1.6 * min(found), found


def test_of_equal_weights_nobody_waits_much_longer_than_the_others() -> None:
    regular = studies(40).run(8, 3600.0, lambda rng, _: rng.uniform(27.0, 33.0), seed=1).waits
    waits = [wait for each in regular.values() for wait in each[1:]]  # the first is until the fleet is filled
    assert max(waits) <= 1.5 * (sum(waits) / len(waits))
    tail = studies(40).run(8, 3600.0, heavy(30.0), seed=2).waits
    means = [sum(each) / len(each) for each in tail.values()]
    assert len(means) == 40
    assert max(means) <= 1.5 * (sum(means) / len(means))


def test_device_time_is_shared_by_weight_whatever_the_length_of_trials() -> None:
    def lasts(rng: random.Random, study_id: int) -> float:
        return (100.0 if study_id % 2 else 10.0) * rng.uniform(0.8, 1.2)

    found = studies(10)
    found.claims = {k: replace(each, weight=3.0 if k < 2 else 1.0) for k, each in found.claims.items()}
    device = {k: each.ran_s / each.weight for k, each in found.run(5, 20_000.0, lasts, seed=3).claims.items()}
    mean = sum(device.values()) / len(device)
    assert all(0.75 * mean <= each <= 1.25 * mean for each in device.values()), device


def test_the_least_weight_goes_on_and_its_neighbours_do_not_notice() -> None:
    found = studies(12)
    found.claims[0] = replace(found.claims[0], weight=0.01)
    finished = found.run(4, 20_000.0, heavy(30.0), seed=4).finished
    assert 1 <= finished[0] <= min(finished[1:]) / 10
    assert max(finished[1:]) <= 1.5 * min(finished[1:])


def test_who_had_the_fleet_alone_does_not_wait_when_others_come() -> None:
    found = studies(1).run(8, 36_000.0, heavy(30.0), seed=5)
    before = found.claims[0].finished
    again = studies(41)
    again.claims[0] = replace(found.claims[0], running=0, queued=0)
    after = again.run(8, 1800.0, heavy(30.0), seed=6).claims
    others = [each.finished for k, each in after.items() if k]
    assert min(others) / 1.5 <= after[0].finished - before <= 1.5 * max(others)


def test_slots_are_shared_by_what_a_trial_holds_of_them() -> None:
    quarter, whole, four = (claim(k, gpus=gpus) for k, gpus in enumerate((0.25, 1, 4)))
    assert [share(k, [quarter, whole, four], Slots(gpu=24)).slots for k in range(3)] == [32, 8, 2]
    alone = share(0, [quarter], Slots(gpu=2))
    assert (alone.slots, alone.now) == (8, 8)
    assert share(0, [claim(0, gpus=0.25, running=5)], Slots(gpu=2)).now == 3
    # One that is wider than its part still has a trial: nobody waits for ever.
    assert share(2, [quarter, whole, four], Slots(gpu=4)).slots == 1


def gang(study_id: int, least: int, most: int, **more: Any) -> Claim:
    return replace(claim(study_id, **more), resources=Resources(slots=most, least=least))


def test_a_gang_gets_its_tickets_together_once_its_slots_are_idle() -> None:
    assert share(0, [gang(0, 3, 3)], Slots(cpu=2)).now == 0
    alone = share(0, [gang(0, 3, 3)], Slots(cpu=7))
    assert (alone.now, alone.ahead) == (2, 0)
    busy = [gang(0, 3, 3), claim(1, running=2)]
    assert share(0, busy, Slots(cpu=4)).now == 0
    assert share(0, [gang(0, 2, 3), claim(1, running=2)], Slots(cpu=4)).now == 1


def test_two_gangs_never_hold_each_others_half() -> None:
    first = gang(0, 3, 3, queued=1)
    assert share(1, [first, gang(1, 3, 3)], Slots(cpu=5)).now == 0
    assert share(1, [first, gang(1, 3, 3)], Slots(cpu=6)).now == 1


def test_slots_are_kept_free_for_the_gang_that_is_next_in_the_line() -> None:
    wide, narrow = gang(0, 3, 3), claim(1, running=2)
    assert share(1, [wide, narrow], Slots(cpu=4)).now == 0, "two idle slots wait for a third"
    assert next_in_turn([wide, narrow], Slots(cpu=4)) is None
    assert spare(0, [wide, narrow], Slots(cpu=4)) == 0
    never = gang(0, 9, 9)
    assert share(1, [never, narrow], Slots(cpu=4)).now == 2, "the fleet will never have nine"


def test_a_gang_that_runs_with_fewer_than_its_most_leaves_the_others_free() -> None:
    small = replace(gang(0, 2, 4, running=1, ready=0, left=0), members=2)
    assert spare(0, [small], Slots(cpu=4)) == 2
    assert share(1, [small, claim(1)], Slots(cpu=4)).now == 2
    assert spare(0, [small, claim(1)], Slots(cpu=4)) == 0


def test_cpu_trials_leave_gpus_alone_that_placed_trials_could_use() -> None:
    fleet, cpu = Slots(gpu=2, cpu=2), claim(1, running=2)
    placed = claim(0, gpus=0.5, running=2, is_placed=True, suiting=2)  # they hold one of the two GPUs
    assert share(1, [placed, cpu], fleet) == Share(slots=2, now=0, ahead=0, most=3)
    assert next_in_turn([placed, cpu], fleet) is None, "no ticket that a GPU would take between two placed trials"
    assert share(1, [placed, cpu], fleet, passed={0}).slots == 3, "it could not use what it was offered"
    few = claim(0, gpus=0.5, running=2, ready=0, left=0, is_placed=True, suiting=2)
    assert share(1, [few, cpu], fleet).slots == 3, "its last trials run: the other GPU is free for others"
    elsewhere = claim(0, gpus=0.5, running=0, is_placed=True, suiting=0)
    assert share(1, [elsewhere, cpu], fleet).slots == 4, "no GPU suits it"
