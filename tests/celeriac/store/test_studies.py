"""The contract on studies and on the coordinator's turn, kept by both stores."""

import threading
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

import pytest

from celeriac.domain.errors import DuplicateStudy, IllegalTransition, LeaseLost, StaleTurn, UnknownStudy
from celeriac.domain.lifecycle import AttemptEvent, StudyEvent, TrialEvent
from celeriac.domain.records import (
    MOST_READY,
    CodeRun,
    Counts,
    EndedTrial,
    Fault,
    PendingTrial,
    Source,
    StudyState,
    Suggestion,
    TrialState,
)
from celeriac.store import Store
from celeriac.store.api import AttemptEnd
from tests.celeriac.store.scenes import (
    SPEC,
    failed,
    leased,
    new_study,
    queued,
    running,
    scored,
    suggestion,
    with_trials,
)


def test_a_study_reads_back_as_it_was_given(any_store: Store) -> None:
    new = new_study(
        spec={"space": {"zeta": 1e22, "a": 1e-4, "one": 1.0}, "text": "a\0b"}, parallel=3, slice={"region": "eu"}
    )
    study = any_store.create_study(new)
    assert any_store.study(study.id) == study == any_store.study_named(new.name)
    assert study.state is StudyState.OPEN
    assert (study.turn, study.next_number, study.counts) == (0, 0, Counts())
    assert list(study.spec["space"].items()) == [("zeta", 1e22), ("a", 1e-4), ("one", 1.0)]
    assert all(isinstance(value, float) for value in study.spec["space"].values())
    assert study.spec["text"] == "a\ufffdb"
    assert (study.parallel, study.slice, study.started_at) == (3, {"region": "eu"}, None)
    assert abs((any_store.now() - study.created_at).total_seconds()) < 60


def test_a_name_is_taken_once(any_store: Store) -> None:
    any_store.create_study(new_study("digits"))
    with pytest.raises(DuplicateStudy, match="'digits' exists already"):
        any_store.create_study(new_study("digits"))


def test_an_unknown_study_names_the_nearest(any_store: Store) -> None:
    any_store.create_study(new_study("flights-jfk"))
    with pytest.raises(UnknownStudy, match="nearest: flights-jfk"):
        any_store.study_named("flight-jfk")
    with pytest.raises(UnknownStudy, match="12345"):
        any_store.study(12345)


def test_records_are_values(any_store: Store) -> None:
    spec = {"space": {"lr": [1, 2]}}
    study = any_store.create_study(new_study(spec=spec))
    spec["space"]["lr"].append(3)
    study.spec["space"]["lr"].append(4)
    assert any_store.study(study.id).spec == {"space": {"lr": [1, 2]}}


def test_studies_come_newest_first_in_pages(any_store: Store) -> None:
    ids = [any_store.create_study(new_study(schedule="nightly" if k % 2 else None)).id for k in range(5)]
    any_store.move_study(ids[0], StudyEvent.STOP, "not needed")
    first = any_store.studies(limit=2)
    assert [study.id for study in first] == [ids[4], ids[3]]
    assert [study.id for study in any_store.studies(before_id=first[-1].id)] == [ids[2], ids[1], ids[0]]
    assert [study.id for study in any_store.studies(schedule="nightly")] == [ids[3], ids[1]]
    assert [study.id for study in any_store.studies(states=[StudyState.STOPPED])] == [ids[0]]
    assert any_store.studies_to_drive() == ids[1:]


def test_each_move_is_written_with_its_reason_and_time(any_store: Store) -> None:
    study = any_store.create_study(new_study())
    started = any_store.move_study(study.id, StudyEvent.START, "first turn", turn=0)
    assert (started.state, started.turn, started.reason) == (StudyState.RUNNING, 1, "first turn")
    assert started.started_at is not None
    paused = any_store.move_study(study.id, StudyEvent.PAUSE, "three bugs alike")
    assert (paused.state, paused.reason, any_store.studies_to_drive()) == (StudyState.PAUSED, "three bugs alike", [])
    resumed = any_store.move_study(study.id, StudyEvent.RESUME, "fixed")
    assert resumed.resumed_at is not None
    assert resumed.started_at == started.started_at
    done = any_store.move_study(study.id, StudyEvent.FINISH, "budget used", turn=resumed.turn)
    assert (done.state, done.turn) == (StudyState.DONE, 4)
    assert done.ended_at is not None
    with pytest.raises(IllegalTransition, match="is DONE: it cannot pause"):
        any_store.move_study(study.id, StudyEvent.PAUSE, "too late")
    assert any_store.study(study.id) == done


def test_a_stale_turn_changes_nothing(any_store: Store) -> None:
    study = running(any_store)
    with_trials(any_store, study, 1)
    before = any_store.snapshot(study.id)
    with pytest.raises(StaleTurn, match="is at turn 2, this write was decided at turn 1"):
        any_store.add_trials(study.id, study.turn, [suggestion()])
    with pytest.raises(StaleTurn):
        any_store.queue_trials(study.id, study.turn, [0])
    with pytest.raises(StaleTurn):
        any_store.move_study(study.id, StudyEvent.FINISH, "budget used", turn=study.turn)
    after = any_store.snapshot(study.id)
    assert after == replace(before, now=after.now)


def test_trials_are_numbered_on(any_store: Store) -> None:
    study = running(any_store)
    assert [trial.number for trial in with_trials(any_store, study, 3)] == [0, 1, 2]
    added = any_store.add_trials(study.id, 2, [suggestion(b=2, a=[1, "x", None])])
    assert (added[0].number, added[0].state) == (3, TrialState.WAITING)
    assert list(added[0].params.items()) == [("b", 2), ("a", [1, "x", None])]
    assert added[0].why == {"sampler": "random", "seed": 7}
    now = any_store.study(study.id)
    assert (now.turn, now.next_number, now.counts.waiting) == (3, 4, 4)
    assert any_store.add_trials(study.id, 3, []) == []
    assert any_store.study(study.id).turn == 4


def test_trials_are_added_and_queued_only_while_the_study_runs(any_store: Store) -> None:
    study = any_store.create_study(new_study())
    with pytest.raises(IllegalTransition, match="is OPEN: it cannot be given trials"):
        any_store.add_trials(study.id, 0, [suggestion()])
    with pytest.raises(IllegalTransition, match="is OPEN: it cannot queue trials"):
        any_store.queue_trials(study.id, 0, [0])
    with pytest.raises(UnknownStudy):
        any_store.add_trials(12345, 0, [suggestion()])
    assert any_store.study(study.id) == study


def test_queueing_returns_those_moved(any_store: Store) -> None:
    study = queued(any_store, 2)
    with_trials(any_store, study, 2)
    turn = any_store.study(study.id).turn
    moved = any_store.queue_trials(study.id, turn, [3, 1, 17])
    assert [(trial.number, trial.state) for trial in moved] == [(3, TrialState.QUEUED)]
    assert moved[0].queued_at is not None
    now = any_store.study(study.id)
    assert (now.turn, now.counts) == (turn + 1, Counts(waiting=1, queued=3))
    assert any_store.queue_trials(study.id, now.turn, []) == []
    assert any_store.study(study.id).turn == now.turn + 1


def better(count: int) -> list[Suggestion]:
    """Suggestions made with more knowledge."""
    return [Suggestion({"lr": 0.5 + k}, Source.SUGGESTED, {"sampler": "random", "observed": 2}) for k in range(count)]


def test_waiting_suggestions_give_way_in_place(any_store: Store) -> None:
    study = queued(any_store, 2)
    with_trials(any_store, study, 3)
    before, trials = any_store.snapshot(study.id), any_store.trials(study.id)
    turn = before.study.turn
    replaced = any_store.replace_waiting(study.id, turn, 3, better(2))
    assert [(t.number, t.params, t.why, t.state) for t in replaced] == [
        (3, {"lr": 0.5}, {"sampler": "random", "observed": 2}, TrialState.WAITING),
        (4, {"lr": 1.5}, {"sampler": "random", "observed": 2}, TrialState.WAITING),
    ]
    after = any_store.snapshot(study.id)
    assert after.study == replace(before.study, turn=turn + 1)
    assert any_store.trials(study.id) == [*trials[:3], *replaced]
    assert replaced[0].created_at == trials[3].created_at
    assert leased(any_store, study, 3).params == {"lr": 0.5}


def test_only_the_newest_untried_suggestions_give_way_and_all_or_none(any_store: Store) -> None:
    study = running(any_store)
    any_store.add_trials(study.id, study.turn, [Suggestion({"lr": 0.0}, Source.DEFAULT)])
    with_trials(any_store, study, 4)
    any_store.queue_trials(study.id, any_store.study(study.id).turn, [2])
    before = any_store.trials(study.id)
    turn = any_store.study(study.id).turn
    for first, count in [(0, 5), (2, 3), (3, 1), (4, 2), (3, 3), (5, 1)]:
        with pytest.raises(IllegalTransition, match="moved meanwhile"):
            any_store.replace_waiting(study.id, turn, first, better(count))
    with pytest.raises(StaleTurn):
        any_store.replace_waiting(study.id, turn - 1, 3, better(2))
    leased(any_store, study, 4)  # by a ticket that was sent before the trial was taken back
    with pytest.raises(IllegalTransition, match="moved meanwhile"):
        any_store.replace_waiting(study.id, turn, 3, better(2))
    assert any_store.study(study.id).turn == turn
    assert [t.params for t in any_store.trials(study.id)] == [t.params for t in before]
    any_store.move_study(study.id, StudyEvent.PAUSE, "a person asked")
    with pytest.raises(IllegalTransition, match="is PAUSED: it cannot have its suggestions replaced"):
        any_store.replace_waiting(study.id, turn + 1, 3, better(2))


def test_what_an_attempt_has_had_stays_as_it_was(any_store: Store) -> None:
    study = queued(any_store, 1)
    lease = leased(any_store, study, 0)
    again = failed(Fault.INFRASTRUCTURE, trial_event=TrialEvent.RETRY)
    assert any_store.finish_attempt(lease.token, again).state is TrialState.WAITING
    turn = any_store.study(study.id).turn
    with pytest.raises(IllegalTransition, match="moved meanwhile"):
        any_store.replace_waiting(study.id, turn, 0, better(1))


@pytest.mark.parametrize("go", range(10))
def test_a_lease_and_a_replacement_at_once_agree(any_store: Store, go: int) -> None:
    study = running(any_store)
    with_trials(any_store, study, 1)
    turn = any_store.study(study.id).turn
    refused: list[str] = []
    start = threading.Barrier(2)

    def replace_it() -> None:
        start.wait()
        try:
            any_store.replace_waiting(study.id, turn, 0, better(1))
        except IllegalTransition as error:
            refused.append(str(error))

    thread = threading.Thread(target=replace_it)
    thread.start()
    start.wait()
    lease = leased(any_store, study, 0)
    thread.join()
    assert lease.params == any_store.trial(study.id, 0).params
    assert any_store.study(study.id).turn == turn + 1 - len(refused)


def test_a_snapshot_holds_counts_the_ready_numbers_and_the_last_three_ends(any_store: Store) -> None:
    study = queued(any_store, 7)
    with_trials(any_store, study, 2)
    for number in (5, 0, 3, 1):
        any_store.finish_attempt(leased(any_store, study, number).token, scored(0.1 * number))
    lease = leased(any_store, study, 6)
    any_store.finish_attempt(lease.token, AttemptEnd(AttemptEvent.RELEASE, TrialEvent.PARK))
    lease = leased(any_store, study, 2)
    any_store.finish_attempt(
        lease.token, AttemptEnd(AttemptEvent.FAULT, TrialEvent.FAIL, fault=Fault.USER_BUG, signature="bug", detail="d")
    )
    seen = any_store.snapshot(study.id)
    assert seen.study == any_store.study(study.id)
    assert (seen.paused, seen.waiting, seen.ready) == ((6,), (7, 8), (6, 7, 8))
    assert [trial.number for trial in seen.last_ended] == [2, 1, 3]
    failed = any_store.trial(study.id, 2)
    assert seen.last_ended[0] == EndedTrial(2, Fault.USER_BUG, "bug", "d", cast(datetime, failed.ended_at))
    assert seen.last_ended[1].fault is None
    assert seen.now >= seen.study.created_at
    with pytest.raises(UnknownStudy):
        any_store.snapshot(12345)


def test_a_snapshot_lists_no_more_numbers_than_a_turn_needs(any_store: Store) -> None:
    study = running(any_store)
    with_trials(any_store, study, MOST_READY + 10)
    assert any_store.snapshot(study.id).waiting == tuple(range(MOST_READY))


def test_the_newest_that_wait_and_were_never_leased(any_store: Store) -> None:
    study = queued(any_store, 2)
    with_trials(any_store, study, 4)
    lease = leased(any_store, study, 3)
    any_store.finish_attempt(lease.token, AttemptEnd(AttemptEvent.FAULT, TrialEvent.RETRY))
    assert any_store.trial(study.id, 3).state is TrialState.WAITING
    found = any_store.newest_waiting(study.id, 10)
    assert found == [any_store.trial(study.id, number) for number in (2, 4, 5)]
    assert any_store.newest_waiting(study.id, 2) == found[1:]


def test_what_was_pending_at_a_moment_can_always_be_read(any_store: Store) -> None:
    study = queued(any_store, 5)
    with_trials(any_store, study, 1)
    at: list[list[PendingTrial]] = []
    for number in (3, 0, 4):
        ended = any_store.study(study.id).counts.ended
        at.append(any_store.pending(study.id, observed=ended, below=5))
        any_store.finish_attempt(leased(any_store, study, number).token, scored(0.1))
    assert [[trial.number for trial in found] for found in at] == [[0, 1, 2, 3, 4], [0, 1, 2, 4], [1, 2, 4]]
    for observed, found in enumerate(at):
        assert any_store.pending(study.id, observed=observed, below=5) == found
        assert any_store.pending(study.id, observed=observed, below=4, since=1) == [
            trial for trial in found if 1 <= trial.number < 4
        ]
    first = any_store.trial(study.id, 5)
    turn = any_store.study(study.id).turn
    any_store.replace_waiting(study.id, turn, 5, better(1))
    pending = any_store.pending(study.id, observed=3, below=6)
    assert pending[-1] == PendingTrial(5, {"lr": 0.5}, Source.SUGGESTED, 2)
    assert pending[-1].params != first.params


def test_ends_are_read_on_in_their_order(any_store: Store) -> None:
    study = queued(any_store, 4)
    for number in (2, 0, 3):
        any_store.finish_attempt(leased(any_store, study, number).token, scored(0.5))
    any_store.cancel_trial(study.id, 1, "not wanted")
    assert [(t.number, t.ended_no) for t in any_store.ended_since(study.id, 0)] == [(2, 1), (0, 2), (3, 3), (1, 4)]
    assert [trial.number for trial in any_store.ended_since(study.id, 1, limit=2)] == [0, 3]
    assert any_store.ended_since(study.id, 4) == []


def test_pausing_takes_queued_trials_back(any_store: Store) -> None:
    study = queued(any_store, 3)
    lease = leased(any_store, study, 1)
    paused = any_store.move_study(study.id, StudyEvent.PAUSE, "a person asked")
    assert paused.counts == Counts(waiting=2, running=1)
    assert any_store.trial(study.id, 0).queued_at is None
    any_store.renew(lease.token, 30)
    assert any_store.finish_attempt(lease.token, scored(0.5)).state is TrialState.SCORED


@pytest.mark.parametrize("event", [StudyEvent.STOP, StudyEvent.FINISH, StudyEvent.FAIL])
def test_closing_cancels_what_is_open(any_store: Store, event: StudyEvent) -> None:
    study = queued(any_store, 4)
    any_store.finish_attempt(leased(any_store, study, 2).token, scored(0.5))
    leased(any_store, study, 3)
    with_trials(any_store, study, 1)
    closed = any_store.move_study(study.id, event, "the wall budget is used")
    assert closed.counts == Counts(scored=1, cancelled=4)
    ends = any_store.ended_since(study.id, 1)
    assert [(trial.number, trial.state, trial.ended_no) for trial in ends] == [
        (number, TrialState.CANCELLED, 2 + place) for place, number in enumerate([0, 1, 3, 4])
    ]
    assert {trial.detail for trial in ends} == {"the wall budget is used"}
    attempt = any_store.attempts(study.id, 3)[0]
    assert (attempt.outcome, attempt.detail) == ("released", "the wall budget is used")
    assert closed.device_s == pytest.approx(2.0 + attempt.device_s)


def test_one_coordinator_drives_a_study(any_store: Store) -> None:
    study, other = running(any_store), running(any_store)
    with any_store.driving(study.id) as mine:
        assert mine
        seen: list[bool] = []

        def try_too() -> None:
            with any_store.driving(study.id) as theirs:
                seen.append(theirs)

        thread = threading.Thread(target=try_too)
        thread.start()
        thread.join()
        assert seen == [False]
        assert any_store.snapshot(study.id).study == study
    with any_store.driving(other.id) as mine:
        assert mine


def test_driving_ends_with_an_error_too(any_store: Store) -> None:
    study = running(any_store)
    with pytest.raises(ZeroDivisionError), any_store.driving(study.id):
        raise ZeroDivisionError
    with any_store.driving(study.id) as mine:
        assert mine


def test_only_one_of_many_writers_takes_a_turn(any_store: Store) -> None:
    study = running(any_store)
    outcomes: list[str] = []

    def add() -> None:
        try:
            any_store.add_trials(study.id, study.turn, [suggestion()])
            outcomes.append("taken")
        except StaleTurn:
            outcomes.append("stale")

    threads = [threading.Thread(target=add) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["stale"] * 5 + ["taken"]
    assert any_store.study(study.id).counts == Counts(waiting=1)


def test_a_study_says_which_of_its_trials_ran_which_code(any_store: Store) -> None:
    study = queued(any_store, 4)
    for number, code in enumerate(("abc git:1", "abc git:2", "def", "abc")):
        lease = leased(any_store, study, number)
        any_store.begin(lease.token, fingerprint=code, resumed_step=None, log_path="")
        if number < 3:
            any_store.finish_attempt(lease.token, scored(0.5))
    assert any_store.codes(study.id) == [CodeRun("abc", 2, 0, 1), CodeRun("def", 1, 2, 2)]


def test_a_study_takes_other_code_and_asks_all_slots_again(any_store: Store) -> None:
    study, other = queued(any_store, 1), queued(any_store, 1)
    for each in (study, other):
        any_store.put_aside(leased(any_store, each, 0).token, "other code", 60.0, study_only=True)
    taken = any_store.take_code(study.id, "def git:3")
    assert taken == any_store.study(study.id)
    assert (taken.fingerprint, taken.turn) == ("def git:3", study.turn)
    assert [each.study_id for each in any_store.put_asides()] == [other.id]
    with pytest.raises(UnknownStudy):
        any_store.take_code(999, "def")


def test_a_study_takes_in_what_its_objective_asks_for(any_store: Store) -> None:
    spec = {**SPEC, "api": "optuna", "learn_space": True}
    opened = any_store.create_study(new_study(spec=spec))
    study = any_store.move_study(opened.id, StudyEvent.START, "first turn", turn=opened.turn)
    made = any_store.add_trials(study.id, study.turn, [Suggestion({}, Source.SUGGESTED) for _ in range(3)])
    any_store.queue_trials(study.id, any_store.study(study.id).turn, [each.number for each in made])
    first, second = leased(any_store, study, 0), leased(any_store, study, 1)
    lr: dict[str, Any] = {"float": [0.001, 0.1], "log": True}
    kind: dict[str, Any] = {"choice": ["SVC", 1]}
    for _ in range(2):
        any_store.learn_space(first.token, {"lr": 0.01, "kind": "SVC"}, {"lr": lr, "kind": kind})
    assert any_store.trial(study.id, 0).params == {"lr": 0.01, "kind": "SVC"}
    assert any_store.study(study.id).spec["space"] == {"lr": lr, "kind": kind}
    later: dict[str, dict[str, Any]] = {
        "lr": {"float": [1e-05, 0.05], "log": True},
        "kind": {"choice": ["forest", "SVC"]},
        "width": {"int": [4, 64], "step": 4},
        "depth": {"int": [2, 8]},
    }
    any_store.learn_space(second.token, {"lr": 0.01, "kind": "forest", "width": 8, "depth": 2}, later)
    grown = {
        "lr": {"float": [1e-05, 0.1], "log": True},
        "kind": {"choice": ["SVC", 1, "forest"]},
        "width": {"int": [4, 64], "step": 4},
        "depth": {"int": [2, 8]},
    }
    assert any_store.study(study.id).spec == {**spec, "space": grown}
    other: dict[str, dict[str, Any]] = {
        "lr": {"int": [1, 9]},
        "kind": {"float": [0.0, 1.0]},
        "width": {"int": [2, 99]},
        "depth": {"int": [1, 8]},
    }
    any_store.learn_space(second.token, {"depth": 1}, other)
    assert any_store.study(study.id).spec["space"] == {**grown, "depth": {"int": [1, 8]}}
    many: dict[str, dict[str, Any]] = {f"x{i}": {"int": [1, 9]} for i in range(200)}
    any_store.learn_space(second.token, {"depth": 1}, many)
    assert len(any_store.study(study.id).spec["space"]) == 4
    any_store.finish_attempt(first.token, scored(0.5))
    with pytest.raises(LeaseLost):
        any_store.learn_space(first.token, {"lr": 0.5}, {})
    assert any_store.trial(study.id, 0).params == {"lr": 0.01, "kind": "SVC"}


def test_a_study_whose_space_is_given_takes_in_nothing(any_store: Store) -> None:
    study = queued(any_store, 1)
    any_store.learn_space(leased(any_store, study, 0).token, {"lr": 0.2}, {"width": {"int": [1, 9]}})
    assert any_store.study(study.id).spec == SPEC
