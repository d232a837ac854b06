"""The contract on gangs, kept by both stores: a round begins once, with a token for each member; one of them is the
attempt's lease.
"""

import threading
from typing import Any

import pytest

from celeriac.domain.errors import LeaseLost
from celeriac.domain.lifecycle import StudyEvent, TrialEvent
from celeriac.domain.records import (
    Counts,
    Device,
    Fault,
    Lease,
    Outcome,
    Placed,
    Refusal,
    Report,
    RunningGang,
    Seat,
    StudyRecord,
    TrialState,
)
from celeriac.store import Store
from celeriac.store.api import AttemptEnd
from tests.celeriac.store.conftest import Subject
from tests.celeriac.store.scenes import failed, new_study, scored, with_trials

LEASE_S, GIB = 30.0, 2**30


def gang_study(store: Store, slots: Any = 3, trials: int = 1, **more: Any) -> StudyRecord:
    spec = {**new_study().spec, "resources": {"gpus": 0, "slots": slots}}
    opened = store.create_study(new_study(spec=spec, **more))
    study = store.move_study(opened.id, StudyEvent.START, "first turn")
    numbers = [trial.number for trial in with_trials(store, study, trials)]
    store.queue_trials(study.id, store.study(study.id).turn, numbers)
    return store.study(study.id)


def joined(
    store: Store,
    study: StudyRecord,
    worker: str,
    *,
    attempt: int = 1,
    number: int = 0,
    host: str = "h",
    kind: str = "cpu",
) -> Seat:
    came = come(store, study, worker, attempt=attempt, number=number, host=host, kind=kind)
    assert isinstance(came, Seat), came
    return came


def come(
    store: Store,
    study: StudyRecord,
    worker: str,
    *,
    attempt: int = 1,
    number: int = 0,
    host: str = "h",
    kind: str = "cpu",
) -> Seat | Refusal:
    place = {"worker": worker, "host": host, "device": "cpu", "device_kind": kind}
    where = {"address": "127.0.0.1", "port": 1000 + ord(worker[-1])}
    return store.join_gang(study.id, number, attempt, **place, **where, lease_s=LEASE_S)  # type: ignore[arg-type]


def begun(store: Store, study: StudyRecord, *workers: str, attempt: int = 1) -> list[Lease]:
    """A round of these workers: what each member was given, by rank."""
    seats = [joined(store, study, each, attempt=attempt) for each in workers]
    assert store.close_round(seats[-1].token, seats[0].least, seats[0].most)
    leases = [store.gang_lease(each.token) for each in seats]
    return sorted(leases, key=lambda each: each.place.rank if each.place else -1)


def test_a_round_gives_each_member_its_place_and_rank_0_the_attempt(any_store: Store) -> None:
    study = gang_study(any_store)
    seats = [joined(any_store, study, "w1", host="b"), joined(any_store, study, "w2", host="a")]
    assert (seats[0].study, seats[0].least, seats[0].most) == (study.name, 3, 3)
    assert not any_store.close_round(seats[0].token, 3, 3)
    seats.append(joined(any_store, study, "w3", host="b"))
    waiting = any_store.gang_beat(seats[0].token, LEASE_S)
    assert (waiting.rank, waiting.world, waiting.is_open, len(waiting.members)) == (None, 0, True, 3)
    assert any_store.close_round(seats[0].token, 3, 3)
    assert not any_store.close_round(seats[1].token, 3, 3)
    places = [any_store.gang_lease(each.token).place for each in seats]
    assert [each.rank for each in places if each] == [1, 0, 2]
    assert [each.local_rank for each in places if each] == [0, 0, 1]
    assert all(each and each.world == 3 and each.hosts == ("a", "b") for each in places)
    lead = any_store.gang_lease(seats[1].token)
    assert (lead.attempt, lead.number, lead.params) == (1, 0, any_store.trial(study.id, 0).params)
    (attempt,) = any_store.attempts(study.id, 0)
    assert (attempt.token, attempt.worker) == (seats[1].token, "w2")
    assert any_store.trial(study.id, 0).state is TrialState.RUNNING
    assert any_store.study(study.id).counts == Counts(running=1)
    running = any_store.gang_beat(seats[0].token, LEASE_S)
    assert (running.rank, running.world, running.is_open) == (1, 3, True)
    assert [each.worker for each in running.members] == ["w2", "w1", "w3"]


def test_only_rank_0_may_report_and_finish(any_store: Store) -> None:
    study = gang_study(any_store)
    lead, second, _ = begun(any_store, study, "w1", "w2", "w3")
    with pytest.raises(LeaseLost):
        any_store.report(second.token, [Report(0, 0.5)])
    with pytest.raises(LeaseLost):
        any_store.renew(second.token, LEASE_S)
    with pytest.raises(LeaseLost):
        any_store.finish_attempt(second.token, scored(0.1))
    any_store.report(lead.token, [Report(0, 0.5)])
    assert any_store.finish_attempt(lead.token, scored(0.9)).state is TrialState.SCORED
    after = any_store.gang_beat(second.token, LEASE_S)
    assert not after.is_open
    assert any_store.study(study.id).counts == Counts(scored=1)


def test_of_many_that_close_at_once_one_begins_the_round(any_store: Store) -> None:
    study = gang_study(any_store)
    seats = [joined(any_store, study, f"w{k}") for k in range(3)]
    answers: list[bool] = []
    threads = [
        threading.Thread(target=lambda t=each.token: answers.append(any_store.close_round(t, 3, 3))) for each in seats
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(answers) == [False, False, True]
    assert any_store.study(study.id).counts == Counts(running=1)
    assert len(any_store.attempts(study.id, 0)) == 1


def test_a_complete_gang_and_a_stale_ticket_take_nobody(any_store: Store) -> None:
    study = gang_study(any_store, {"min": 1, "max": 2})
    joined(any_store, study, "w1")
    joined(any_store, study, "w2")
    more = come(any_store, study, "w3")
    assert isinstance(more, Refusal)
    assert "complete" in more.reason
    assert any_store.trial(study.id, 0).state is TrialState.QUEUED
    stale = come(any_store, study, "w3", attempt=2)
    assert isinstance(stale, Refusal)
    assert "stale" in stale.reason


def test_a_study_that_may_not_run_another_sends_the_trial_back(any_store: Store) -> None:
    study = gang_study(any_store, trials=2, parallel=1)
    begun(any_store, study, "w1", "w2", "w3")
    refused = come(any_store, study, "w4", number=1)
    assert isinstance(refused, Refusal)
    assert any_store.trial(study.id, 1).state is TrialState.WAITING


def test_a_round_begins_with_the_least_and_without_those_who_leave_or_lapsed(subject: Subject) -> None:
    store = subject.store
    study = gang_study(store, {"min": 2, "max": 4})
    silent = joined(store, study, "w1")
    subject.pass_time(LEASE_S + 1)
    seats = [joined(store, study, each) for each in ("w2", "w3", "w4")]
    store.gang_beat(seats[2].token, LEASE_S, leaving="its worker was told to stop")
    assert store.close_round(seats[0].token, 2, 4)
    ranks = {each.worker: each.rank for each in store.gang_beat(seats[0].token, LEASE_S).members}
    assert ranks == {"w2": 0, "w3": 1, "w1": None, "w4": None}
    for each in (silent, seats[2]):
        with pytest.raises(LeaseLost):
            store.gang_lease(each.token)
    assert not store.gang_beat(seats[2].token, LEASE_S).is_open


def test_the_others_see_who_is_gone_who_leaves_and_who_is_silent(subject: Subject) -> None:
    store = subject.store
    study = gang_study(store, 4)
    lead, second, third, _ = begun(store, study, "w1", "w2", "w3", "w4")
    store.end_membership(second.token, fault=Fault.USER_BUG, detail="ValueError: x\0", signature="abc")
    store.end_membership(second.token, fault=Fault.INFRASTRUCTURE, detail="again")
    store.gang_beat(third.token, LEASE_S, leaving="drained")
    store.gang_beat(third.token, LEASE_S)
    subject.pass_time(LEASE_S / 2)
    store.gang_beat(third.token, LEASE_S)
    subject.pass_time(LEASE_S / 2 + 1)
    seen = store.gang_beat(lead.token, LEASE_S)
    one, two, three, four = seen.members
    assert not one.lapsed
    assert not one.ended
    assert (two.ended, two.fault, two.detail, two.signature) == (True, Fault.USER_BUG, "ValueError: x\ufffd", "abc")
    assert (three.leaving, three.lapsed) == ("drained", False)
    assert 15 < three.silent_s < 20
    assert four.lapsed
    assert four.silent_s > LEASE_S
    with pytest.raises(LeaseLost):
        store.gang_beat(second.token, LEASE_S)
    assert [each.rank for each in store.gang_members(study.id, 0, 1)] == [0, 1, 2, 3]


def test_rank_0s_beat_is_the_attempts_renewal(subject: Subject) -> None:
    store = subject.store
    study = gang_study(store)
    lead, second, _ = begun(store, study, "w1", "w2", "w3")
    subject.pass_time(LEASE_S + 1)
    store.gang_beat(second.token, LEASE_S)
    assert [each.number for each in store.expired()] == [0]
    store.gang_beat(lead.token, LEASE_S)
    assert store.expired() == []


def test_rank_0_hears_that_the_trial_is_asked_back(any_store: Store) -> None:
    study = gang_study(any_store)
    lead, second, _ = begun(any_store, study, "w1", "w2", "w3")
    assert any_store.gang_beat(lead.token, LEASE_S).asked_back == ""
    any_store.preempt([lead.token], "another study needs the slots")
    assert any_store.gang_beat(lead.token, LEASE_S).asked_back == "another study needs the slots"
    assert any_store.gang_beat(second.token, LEASE_S).asked_back == ""


def test_the_next_attempt_is_another_round_and_brings_checkpoints(any_store: Store) -> None:
    study = gang_study(any_store)
    lead, second, _ = begun(any_store, study, "w1", "w2", "w3")
    retry = failed(Fault.INFRASTRUCTURE, trial_event=TrialEvent.RETRY)
    any_store.finish_attempt(lead.token, retry)
    assert any_store.trial(study.id, 0).state is TrialState.WAITING
    again = begun(any_store, study, "w1", "w2", "w4", attempt=2)
    assert [each.attempt for each in again] == [2, 2, 2]
    with pytest.raises(LeaseLost):
        any_store.finish_attempt(lead.token, scored(0.1))
    assert not any_store.gang_beat(second.token, LEASE_S).is_open
    any_store.finish_attempt(again[0].token, scored(0.8))
    assert [each.outcome for each in any_store.attempts(study.id, 0)] == [Outcome.FAULT, Outcome.SCORED]
    assert any_store.trial(study.id, 0).score == 0.8


def test_a_gang_that_is_given_up_leaves_its_trial_in_the_buffer_with_the_reason(subject: Subject) -> None:
    store = subject.store
    study = gang_study(store)
    one, two = joined(store, study, "w1"), joined(store, study, "w2")
    assert store.give_up_gang(one.token, "2 of 3 slots came", 10.0)
    assert not store.give_up_gang(two.token, "2 of 3 slots came", 10.0)
    trial = store.trial(study.id, 0)
    assert (trial.state, trial.detail, trial.attempts, trial.faults) == (TrialState.WAITING, "2 of 3 slots came", 0, {})
    assert store.study(study.id).counts == Counts(waiting=1)
    assert store.snapshot(study.id).ready == ()
    with pytest.raises(LeaseLost):
        store.gang_beat(two.token, LEASE_S)
    subject.pass_time(11)
    assert store.snapshot(study.id).ready == (0,)


def test_members_of_a_study_that_is_paused_are_sent_home(any_store: Store) -> None:
    study = gang_study(any_store)
    seat = joined(any_store, study, "w1")
    any_store.move_study(study.id, StudyEvent.PAUSE, "a person said so")
    assert not any_store.gang_beat(seat.token, LEASE_S).is_open
    assert not any_store.close_round(seat.token, 1, 3)


def test_a_dead_workers_membership_is_given_back(any_store: Store) -> None:
    study = gang_study(any_store)
    lead, *_ = begun(any_store, study, "w1", "w2", "w3")
    assert any_store.give_back_members("w2", "its worker ended") == [(study.id, study.name, 0, 1)]
    assert any_store.give_back_members("w2", "its worker ended") == []
    gone = any_store.gang_beat(lead.token, LEASE_S).members[1]
    assert (gone.ended, gone.fault, gone.detail) == (True, Fault.INFRASTRUCTURE, "its worker ended")


def test_a_round_is_asked_to_grow_while_it_runs(subject: Subject) -> None:
    store = subject.store
    study = gang_study(store, {"min": 2, "max": 3})
    lead, second = begun(store, study, "w1", "w2")
    subject_of = store.running_gangs()
    assert [(each.number, each.attempt, each.world, each.growing) for each in subject_of] == [(0, 1, 2, False)]
    store.ask_to_grow(study.id, 0, 1, "a slot is free")
    assert store.gang_beat(lead.token, LEASE_S).grow == "a slot is free"
    assert store.gang_beat(second.token, LEASE_S).grow == "a slot is free"
    assert isinstance(store.running_gangs()[0], RunningGang)
    assert store.running_gangs()[0].growing
    store.finish_attempt(lead.token, AttemptEnd(failed().attempt_event, failed().trial_event, fault=Fault.TIMEOUT))
    assert store.running_gangs() == []
    subject.pass_time(LEASE_S + 100)
    assert store.forget_members(60.0) == 2
    assert store.forget_members(60.0) == 0


def test_a_member_without_the_studys_code_is_put_aside(any_store: Store) -> None:
    study = gang_study(any_store)
    _, second, _ = begun(any_store, study, "w1", "w2", "w3")
    any_store.put_aside(second.token, "the code is not here", 60.0, study_only=True)
    assert [(each.worker, each.study_id) for each in any_store.put_asides()] == [("w2", study.id)]


def test_a_study_with_gangs_can_be_deleted(any_store: Store) -> None:
    study = gang_study(any_store)
    begun(any_store, study, "w1", "w2", "w3")
    any_store.move_study(study.id, StudyEvent.STOP, "enough")
    any_store.delete_study(study.id)
    assert any_store.gang_members(study.id, 0, 1) == []


def placed_gang(store: Store, *devices: str, share: float = 1.0, trials: int = 1) -> StudyRecord:
    """Trials on these GPUs each, which are there."""
    now = store.now()
    cards = [Device(each, "h", "H100", 80 * GIB, {}, (f"{each}.s0",), "", "ok", now) for each in ("a", "b", "c")]
    store.put_devices("h", cards)
    spec = {**new_study().spec, "resources": {"gpus": {"min": 1, "max": len(devices)}}}
    opened = store.create_study(new_study(spec=spec))
    study = store.move_study(opened.id, StudyEvent.START, "first turn")
    numbers = [trial.number for trial in with_trials(store, study, trials)]
    places = dict.fromkeys(numbers, Placed(devices, share, 10 * GIB))
    store.queue_trials(study.id, store.study(study.id).turn, numbers, places)
    return store.study(study.id)


def on_gpu(store: Store, study: StudyRecord, device: str, number: int = 0) -> Seat | Refusal:
    where = {"host": "h", "device": device, "device_kind": "H100", "address": "127.0.0.1", "port": 1}
    return store.join_gang(study.id, number, 1, worker=f"{device}.s0", lease_s=LEASE_S, **where)  # type: ignore[arg-type]


def test_a_placed_gang_takes_one_slot_of_each_of_its_devices_and_of_no_other(any_store: Store) -> None:
    study = placed_gang(any_store, "a", "b")
    first = on_gpu(any_store, study, "a")
    assert isinstance(first, Seat)
    assert (first.least, first.most) == (1, 2)
    assert isinstance(on_gpu(any_store, study, "a"), Refusal), "another slot of the same GPU, by a ticket sent again"
    assert isinstance(on_gpu(any_store, study, "c"), Refusal), "it was placed elsewhere"
    assert any_store.holdings().open_attempts.get("a", 0) == 0, "who gathers holds its place, and nothing beside it"
    assert isinstance(on_gpu(any_store, study, "b"), Seat)
    assert any_store.close_round(first.token, 2, 2)
    lease = any_store.gang_lease(first.token)
    assert lease.placed == Placed(("a", "b"), 1.0, 10 * GIB)
    assert [each.device for each in lease.place.peers if each] == ["a", "b"]  # type: ignore[union-attr]
    assert any_store.holdings().open_attempts == {"a": 1, "b": 1}


def test_a_device_that_is_held_refuses_a_gang_and_one_that_gathers_holds_it(any_store: Store) -> None:
    two, other = placed_gang(any_store, "a", "b"), placed_gang(any_store, "a")
    assert isinstance(on_gpu(any_store, two, "a"), Seat)
    assert isinstance(on_gpu(any_store, other, "a"), Refusal)
    seat = on_gpu(any_store, two, "b")
    assert isinstance(seat, Seat)
    assert any_store.close_round(seat.token, 2, 2)
    assert isinstance(on_gpu(any_store, other, "a"), Refusal)
    alone = any_store.lease(other.id, 0, 1, worker="a.s1", device="a", device_kind="H100", lease_s=LEASE_S)
    assert isinstance(alone, Refusal)


def test_a_round_that_begins_with_fewer_gives_the_other_devices_back(any_store: Store) -> None:
    study = placed_gang(any_store, "a", "b", "c")
    seats = [on_gpu(any_store, study, each) for each in ("a", "c")]
    assert all(isinstance(each, Seat) for each in seats)
    assert any_store.close_round(seats[0].token, 1, 3)  # type: ignore[union-attr]
    (held,) = any_store.holdings().placed
    assert (held.placed.devices, held.is_running) == (("a", "c"), True)
    assert isinstance(on_gpu(any_store, study, "b"), Refusal), "its ticket came too late"


def test_members_of_a_place_that_was_given_up_have_no_round(any_store: Store) -> None:
    study = placed_gang(any_store, "a", "b")
    seat = on_gpu(any_store, study, "a")
    assert isinstance(seat, Seat)
    assert any_store.gang_beat(seat.token, LEASE_S).is_open
    assert any_store.unplace(study.id, 0, 1)
    assert not any_store.gang_beat(seat.token, LEASE_S).is_open
    assert not any_store.close_round(seat.token, 1, 2)
    turn = any_store.study(study.id).turn
    any_store.queue_trials(study.id, turn, [0], {0: Placed(("b", "c"), 1.0, 10 * GIB)})
    assert not any_store.gang_beat(seat.token, LEASE_S).is_open
    moved = on_gpu(any_store, study, "b")
    assert isinstance(moved, Seat)
    assert any_store.close_round(moved.token, 1, 2)
    assert any_store.gang_lease(moved.token).place.world == 1  # type: ignore[union-attr]


def test_people_see_where_members_are_while_a_gang_gathers_and_while_it_runs(any_store: Store) -> None:
    study = placed_gang(any_store, "a", "b")
    assert any_store.gang_places(study.id, [0]) == []
    seats = [on_gpu(any_store, study, "b"), on_gpu(any_store, study, "a")]
    gathering = any_store.gang_places(study.id, [0])
    assert [(each.trial, each.attempt, each.rank, each.device) for each in gathering] == [
        (0, 1, None, "b"),
        (0, 1, None, "a"),
    ]
    assert any_store.close_round(seats[0].token, 1, 2)  # type: ignore[union-attr]
    first, second = any_store.gang_places(study.id, [0])
    assert (first.rank, first.worker, first.host, first.device) == (0, "b.s0", "h", "b")
    assert str(second) == "rank 1 on a.s0 (a)"
    assert second.silent_s < 5
    any_store.finish_attempt(seats[0].token, scored(0.5))  # type: ignore[union-attr]
    assert any_store.gang_places(study.id, [0]) == []


def test_each_member_s_slot_has_run_what_its_gang_did(any_store: Store) -> None:
    study = placed_gang(any_store, "a", "b")
    seats = [on_gpu(any_store, study, each) for each in ("a", "b")]
    since = any_store.now()
    assert any_store.close_round(seats[0].token, 1, 2)  # type: ignore[union-attr]
    runs = any_store.slot_runs(since)
    assert [(each.worker, each.device, each.share, each.memory_bytes) for each in runs] == [
        ("a.s0", "a", 1.0, 10 * GIB),
        ("b.s0", "b", 1.0, 10 * GIB),
    ]
