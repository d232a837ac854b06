"""The contract on rungs, kept by both stores: one record a trial, ranked in the order of arrival, at the same cost at
any length.
"""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.domain.errors import LeaseLost, ScoreNotFinite
from celeriac.domain.lifecycle import AttemptEvent, StudyEvent, TrialEvent
from celeriac.domain.records import Fault, Goal, Lease, Ranking, RungRecord, Savings, Source, StudyRecord, Suggestion
from celeriac.store import Store
from celeriac.store.api import AttemptEnd
from tests.celeriac.store.scenes import crossing, failed, leased, queued, released, report, running, scored

VALUES = (0.5, 0.9, 0.5, 0.1, 0.7, 0.9, 0.3)


def at_rung(store: Store, lease: Lease, rung: int, value: float, **how: object) -> RungRecord:
    """Report this value at this rung; the record that the store answers with."""
    (record,) = store.report(
        lease.token,
        [report(lease, rung, value)],
        [crossing(rung, value, **how)],  # type: ignore[arg-type]
    ).rungs
    return record


def test_a_record_is_ranked_among_those_that_came_before(any_store: Store) -> None:
    study = queued(any_store, len(VALUES))
    records = [at_rung(any_store, leased(any_store, study, k), 3, value, of=2) for k, value in enumerate(VALUES)]
    assert [each.place for each in records] == [1, 2, 3, 4, 5, 6, 7]
    assert [each.cutoff for each in records] == [0.5, 0.9, 0.9, 0.5, 0.7, 0.7, 0.7]
    assert [each.value for each in records] == list(VALUES)
    assert (records[3].trial, records[3].attempt, records[3].step, records[3].resource) == (3, 1, 3, 3.0)
    assert any_store.rung_records(study.id) == records
    assert any_store.rung_records(study.id, after=(0, 3, 5)) == records[5:]
    assert any_store.rung_records(study.id, after=(0, 3, 5), limit=1) == records[5:6]


@pytest.mark.parametrize(
    ("goal", "of", "spare", "cutoffs"),
    [
        ("minimize", 3, 0, [0.5, 0.5, 0.5, 0.1, 0.1, 0.5, 0.3]),
        ("maximize", 3, 0, [0.5, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]),
        ("maximize", 2, 1, [0.5, 0.9, 0.5, 0.5, 0.5, 0.7, 0.5]),  # the median, rounded in the trials' favour
        ("maximize", 1, 0, [0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1]),  # all are kept
    ],
)
def test_the_cutoff_follows_goal_and_share(
    any_store: Store, goal: Goal, of: int, spare: int, cutoffs: list[float]
) -> None:
    study = queued(any_store, len(VALUES), goal=goal)
    found = [
        at_rung(any_store, leased(any_store, study, k), 1, value, goal=goal, of=of, spare=spare).cutoff
        for k, value in enumerate(VALUES)
    ]
    assert found == cutoffs


@given(
    values=st.lists(st.sampled_from([0.0, -0.0, 0.25, 0.5, -1e300, 1e-300]) | st.floats(-1, 1), max_size=40),
    goal=st.sampled_from(["maximize", "minimize"]),
    of=st.integers(1, 5),
    spare=st.integers(0, 1),
)
def test_the_cutoff_is_the_last_value_that_is_kept(
    store: Store, values: list[float], goal: Goal, of: int, spare: int
) -> None:
    """Postgres moves it from record to record; here it is looked up in the sorted list."""
    study = queued(store, len(values), goal=goal)
    spare = min(spare, of - 1)
    ranking = Ranking(goal, of, spare)
    for number, value in enumerate(values):
        lease = leased(store, study, number)
        record = at_rung(store, lease, 9, value, goal=goal, of=of, spare=spare)
        there = sorted(values[: number + 1], reverse=goal == "maximize")
        assert (record.place, record.cutoff) == (number + 1, there[ranking.kept(number + 1) - 1])


def test_rungs_and_brackets_are_ranked_apart(any_store: Store) -> None:
    study = queued(any_store, 3)
    first, second, third = (leased(any_store, study, k) for k in range(3))
    landed = any_store.report(
        first.token,
        [report(first, step) for step in range(10)],
        [crossing(9, 0.9), crossing(1, 0.1), crossing(3, 0.3), crossing(3, 0.99)],
    )
    assert [(each.rung, each.value) for each in landed.rungs] == [(1, 0.1), (3, 0.3), (9, 0.9)]
    assert at_rung(any_store, second, 3, 0.2).cutoff == 0.3
    apart = at_rung(any_store, third, 3, 0.2, bracket=1)
    assert (apart.place, apart.cutoff, apart.bracket) == (1, 0.2, 1)
    keys = [(each.bracket, each.rung, each.place) for each in any_store.rung_records(study.id)]
    assert keys == [(0, 1, 1), (0, 3, 1), (0, 3, 2), (0, 9, 1), (1, 3, 1)]


def test_studies_are_ranked_apart(any_store: Store) -> None:
    studies = queued(any_store, 1), queued(any_store, 1)
    for study in studies:
        assert at_rung(any_store, leased(any_store, study, 0), 1, 0.5).place == 1
        assert len(any_store.rung_records(study.id)) == 1


def test_a_doubled_report_counts_once(any_store: Store) -> None:
    study = queued(any_store, 2)
    lease = leased(any_store, study, 0)
    first = at_rung(any_store, lease, 1, 0.5)
    assert at_rung(any_store, lease, 1, 0.5) == first
    assert at_rung(any_store, lease, 1, 0.9) == first
    assert at_rung(any_store, leased(any_store, study, 1), 1, 0.4).place == 2


def test_a_second_attempt_finds_the_first_ones_record(any_store: Store) -> None:
    """A trial counts once in a rung, with the value that was judged: so each judgement can be made again from the
    rows.
    """
    study = queued(any_store, 2)
    first = leased(any_store, study, 0)
    before = at_rung(any_store, first, 1, 0.5)
    at_rung(any_store, leased(any_store, study, 1), 1, 0.7)
    any_store.finish_attempt(first.token, failed(Fault.INFRASTRUCTURE, trial_event=TrialEvent.RETRY))
    second = leased(any_store, study, 0, attempt=2)
    assert at_rung(any_store, second, 1, 0.8) == before
    assert at_rung(any_store, second, 3, 0.9).attempt == 2
    assert len(any_store.rung_records(study.id)) == 3


def test_an_attempt_that_is_over_ranks_nothing(any_store: Store) -> None:
    study = queued(any_store, 1)
    lease = leased(any_store, study, 0)
    any_store.finish_attempt(lease.token, released(TrialEvent.PARK))
    with pytest.raises(LeaseLost):
        at_rung(any_store, lease, 1, 0.5)
    assert any_store.rung_records(study.id) == []
    assert any_store.reports(study.id, 0) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_only_finite_values_are_ranked(any_store: Store, value: float) -> None:
    study = queued(any_store, 1)
    lease = leased(any_store, study, 0)
    with pytest.raises(ScoreNotFinite, match="rung 1 holds finite numbers"):
        at_rung(any_store, lease, 1, value)
    assert any_store.rung_records(study.id) == []


def test_those_that_arrive_at_once_are_ranked_one_after_the_other(any_store: Store) -> None:
    count = 24
    study = queued(any_store, count)
    leases = [leased(any_store, study, k) for k in range(count)]
    gate = threading.Barrier(8)
    failures: list[BaseException] = []

    def arrive(mine: list[Lease]) -> None:
        try:
            gate.wait(20)
            for lease in mine:
                value = (lease.number * 7 % count) / count
                any_store.report(lease.token, [report(lease, 9, value)], [crossing(9, value), crossing(1, value)])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=arrive, args=(leases[k::8],)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    records = any_store.rung_records(study.id)
    for rung in (1, 9):
        there = [each for each in records if each.rung == rung]
        assert [each.place for each in there] == list(range(1, count + 1))
        for each in there:
            seen = sorted((other.value for other in there[: each.place]), reverse=True)
            assert each.cutoff == seen[max(1, each.place // 3) - 1]


def test_a_page_of_ends_carries_the_rungs(any_store: Store) -> None:
    study = queued(any_store, 3)
    leases = [leased(any_store, study, k) for k in range(3)]
    at_rung(any_store, leases[0], 3, 0.1 + 0.2)
    at_rung(any_store, leases[0], 1, -1.5e-300)
    at_rung(any_store, leases[2], 1, 0.7)
    for lease in reversed(leases):
        any_store.finish_attempt(lease.token, scored(0.5))
    ended = any_store.ended_since(study.id, 0)
    assert [(each.number, each.rungs) for each in ended] == [
        (2, ((1, 0.7),)),
        (1, ()),
        (0, ((1, -1.5e-300), (3, 0.1 + 0.2))),
    ]


def test_a_lease_says_where_its_parameters_came_from(any_store: Store) -> None:
    study = running(any_store)
    turn = any_store.study(study.id).turn
    any_store.add_trials(study.id, turn, [Suggestion({"lr": 0.1}, source) for source in Source])
    found = [leased(any_store, study, number).source for number in range(len(Source))]
    assert found == list(Source)


def test_a_stopped_study_ranks_nothing(any_store: Store) -> None:
    study: StudyRecord = queued(any_store, 1)
    lease = leased(any_store, study, 0)
    any_store.move_study(study.id, StudyEvent.STOP, "a person said so")
    with pytest.raises(LeaseLost):
        at_rung(any_store, lease, 1, 0.5)


def test_what_was_spared_is_counted_from_the_longest_scored_training(any_store: Store) -> None:
    """The newest attempt's steps and time; a resumed one has run from its checkpoint on."""
    study = queued(any_store, 5)
    assert any_store.savings(study.id) == Savings()
    pruned = AttemptEnd(AttemptEvent.PRUNE, TrialEvent.PRUNE, device_s=10.0)
    early = leased(any_store, study, 0)
    any_store.report(early.token, [report(early, step) for step in range(5)])
    any_store.finish_attempt(early.token, pruned)
    assert any_store.savings(study.id) == Savings(1, 0, 0.0)
    whole = leased(any_store, study, 1)
    any_store.report(whole.token, [report(whole, 19)])
    any_store.finish_attempt(whole.token, scored(0.5))
    assert any_store.savings(study.id) == Savings(1, 15, 30.0)
    first = leased(any_store, study, 2)
    any_store.report(first.token, [report(first, step, checkpoint=True) for step in range(8)])
    any_store.finish_attempt(first.token, failed(Fault.INFRASTRUCTURE, trial_event=TrialEvent.RETRY))
    second = leased(any_store, study, 2, attempt=2)
    any_store.begin(second.token, fingerprint="", resumed_step=7, log_path="")
    any_store.report(second.token, [report(second, step) for step in (8, 9)])
    any_store.finish_attempt(second.token, pruned)
    assert any_store.savings(study.id) == Savings(2, 25, 80.0)
    silent = leased(any_store, study, 3)
    any_store.finish_attempt(silent.token, pruned)
    assert any_store.savings(study.id) == Savings(3, 25, 80.0)
