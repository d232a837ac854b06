"""The contract on what keeps the service going, kept by both stores: reaping, lost tickets, devices, retention."""

from dataclasses import replace
from datetime import timedelta

import pytest

from celeriac.domain.lifecycle import StudyEvent, TrialEvent
from celeriac.domain.records import Fault, LetGo, ReaperLook, TrialState
from celeriac.store import Store
from celeriac.store.api import Pruned
from tests.celeriac.store.conftest import Subject
from tests.celeriac.store.scenes import device, failed, leased, queued, released, report, running, scored, verdict


def test_expired_lists_the_oldest_first_with_what_the_retry_needs(subject: Subject) -> None:
    store = subject.store
    study = queued(store, 3)
    store.finish_attempt(leased(store, study, 0).token, failed(Fault.INFRASTRUCTURE, trial_event=TrialEvent.RETRY))
    second = leased(store, study, 1, lease_s=0.08)
    first = leased(store, study, 0, attempt=2, lease_s=0.01)
    leased(store, study, 2, lease_s=600)
    store.report(second.token, [report(second, 0, checkpoint=True)])
    subject.pass_time(60)
    found = store.expired()
    assert [each.token for each in found] == [first.token, second.token]
    assert (found[0].study, found[0].number, found[0].attempt) == (study.name, 0, 2)
    assert (found[0].faults, found[0].has_checkpoint) == ({"infrastructure": 1}, False)
    assert (found[1].faults, found[1].has_checkpoint) == ({}, True)
    assert [each.token for each in store.expired(limit=1)] == [first.token]


def test_an_attempt_has_progressed_when_it_brought_a_later_checkpoint_than_all_before_it(any_store: Store) -> None:
    study = queued(any_store, 1)
    seen: list[int] = []
    for attempt, step in ((1, 4), (2, 4), (3, 5)):
        lease = leased(any_store, study, 0, attempt=attempt, worker="cpu0.s0@here")
        any_store.report(lease.token, [report(lease, step, checkpoint=True)])
        (found,) = any_store.open_attempts_of("cpu0.s0@here")
        seen.append(found.has_progressed)
        end = failed(Fault.INFRASTRUCTURE, trial_event=TrialEvent.RETRY, forgives=found.has_progressed and attempt > 1)
        seen.append(any_store.finish_attempt(lease.token, end).faults["infrastructure"])
    assert seen == [True, 1, False, 2, True, 1]


def test_a_node_finds_what_its_dead_worker_held(any_store: Store) -> None:
    study = queued(any_store, 3)
    mine = leased(any_store, study, 0, worker="cpu0.s0@here")
    leased(any_store, study, 1, worker="cpu0.s1@here")
    any_store.finish_attempt(leased(any_store, study, 2, worker="cpu0.s0@here").token, scored(0.5))
    assert [each.token for each in any_store.open_attempts_of("cpu0.s0@here")] == [mine.token]
    assert any_store.open_attempts_of("cpu0.s0@there") == []


def test_unclaimed_tickets_are_found_and_touched(subject: Subject) -> None:
    store = subject.store
    study = queued(store, 3)
    assert store.unclaimed([study.id], 3) == []
    subject.pass_time(10)
    leased(store, study, 1)
    assert [(trial.study_id, trial.number) for trial in store.unclaimed([study.id], 3)] == [
        (study.id, 0),
        (study.id, 2),
    ]
    assert [trial.number for trial in store.unclaimed([study.id], 3, limit=1)] == [0]
    touched = store.touch_queued([(study.id, 2), (study.id, 1), (study.id, 99), (study.id, 2)])
    assert [(trial.number, trial.state) for trial in touched] == [(2, TrialState.QUEUED)]
    assert touched[0].queued_at is not None
    assert touched[0].queued_at > store.now() - timedelta(seconds=5)
    assert [trial.number for trial in store.unclaimed([study.id], 3)] == [0]
    assert store.touch_queued([]) == []
    other = queued(store, 1)
    subject.pass_time(10)
    assert [(trial.study_id, trial.number) for trial in store.unclaimed([other.id], 3)] == [(other.id, 0)]
    assert store.unclaimed([], 3) == []


def test_a_host_says_anew_what_it_has(subject: Subject) -> None:
    store = subject.store
    store.put_devices("here", [device("gpu-1", kind="H200"), device("gpu-0", kind="H200")])
    store.put_devices("there", [device("cpu", host="there")])
    assert [each.uuid for each in store.devices()] == ["gpu-0", "gpu-1", "cpu"]
    subject.pass_time(100)
    store.put_devices("here", [device("gpu-1", kind="H100")])
    seen = store.devices()
    assert [(each.host, each.uuid, each.kind) for each in seen] == [("here", "gpu-1", "H100"), ("there", "cpu", "cpu")]
    assert (seen[0].labels, seen[0].slots, seen[0].is_gpu) == ({"rack": "a"}, ("gpu-1.s0",), True)
    assert seen[0].heartbeat_at > store.now() - timedelta(seconds=5)
    assert [each.uuid for each in store.devices(alive=True)] == ["gpu-1"]
    assert (seen[0].used_bytes, seen[0].utilisation, seen[0].temperature_c) == (None, None, None)
    said = replace(device("gpu-1", kind="H100"), used_bytes=2**33, utilisation=0.5, temperature_c=61)
    store.put_devices("here", [said])
    seen = store.devices(alive=True)
    assert (seen[0].used_bytes, seen[0].utilisation, seen[0].temperature_c) == (2**33, 0.5, 61)
    store.put_devices("here", [])
    assert [each.host for each in store.devices()] == ["there"]


def test_a_device_is_gone_after_four_heartbeats_of_its_own_node(subject: Subject) -> None:
    store = subject.store
    most, often = replace(device("most"), heartbeat_s=1.0), device("often")
    seldom = replace(device("seldom"), heartbeat_s=60.0)
    store.put_devices("here", [most, often, seldom])
    subject.pass_time(10)
    assert [each.uuid for each in store.devices(alive=True)] == ["often", "seldom"]
    subject.pass_time(90)
    assert [each.uuid for each in store.devices(alive=True)] == ["seldom"]
    assert store.has_other_slots("often.s0", 0)
    subject.pass_time(150)
    assert store.devices(alive=True) == []


def test_retention_takes_old_leftovers_and_spares_champions(any_store: Store) -> None:
    study, still_running = queued(any_store, 2), queued(any_store, 1)
    for number in (0, 1):
        lease = leased(any_store, study, number)
        any_store.report(lease.token, [report(lease, 0, checkpoint=True), report(lease, 1)])
        any_store.finish_attempt(lease.token, scored(0.5, log_tail="done"))
    open_lease = leased(any_store, still_running, 0)
    any_store.report(open_lease.token, [report(open_lease, 0, checkpoint=True)])
    any_store.move_study(study.id, StudyEvent.FINISH, "budget used")
    any_store.record_champion(verdict(study, promoted=True))
    early = any_store.study(study.id).created_at
    assert any_store.prune(study.id, early, reports=True, logs=True) == Pruned()
    assert any_store.old_checkpoints(study.id, early) == []
    later = any_store.now() + timedelta(seconds=60)
    for spared in (still_running.id, 99):
        assert any_store.prune(spared, later, reports=True, logs=True) == Pruned()
        assert any_store.old_checkpoints(spared, later) == []
    assert any_store.prune(study.id, later, reports=False, logs=True) == Pruned(logs=1)
    for left in (1, 1, 0):  # one at a time, and then none
        assert any_store.prune(study.id, later, reports=True, logs=True, limit=1) == Pruned(reports=left)
    old = any_store.old_checkpoints(study.id, later)
    assert [(each.trial, each.step) for each in old] == [(1, 0)]
    assert any_store.old_checkpoints(study.id, later, after=(1, 0, 1)) == []
    champions = any_store.checkpoints(study.id, 0)
    assert any_store.prune_checkpoints(study.id, early, old) == 0
    assert any_store.prune_checkpoints(study.id, later, [*champions, *old]) == 1
    assert any_store.old_checkpoints(study.id, later) == []
    assert [len(any_store.reports(study.id, number)) for number in (0, 1)] == [2, 0]
    assert [any_store.log_tail(study.id, number, 1) for number in (0, 1)] == ["done", ""]
    assert len(any_store.checkpoints(study.id, 0)) == len(any_store.checkpoints(still_running.id, 0)) == 1


def test_a_closed_study_leaves_nothing_to_reap(subject: Subject) -> None:
    store = subject.store
    study = queued(store, 2)
    leased(store, study, 0, lease_s=0.01)
    store.move_study(study.id, StudyEvent.STOP, "a person asked")
    subject.pass_time(60)
    assert store.expired() == []
    assert store.unclaimed([study.id], 1) == []


@pytest.mark.parametrize("event", [TrialEvent.PARK, TrialEvent.RETRY])
def test_what_was_handed_back_is_no_lost_ticket(subject: Subject, event: TrialEvent) -> None:
    store = subject.store
    study = queued(store, 1)
    store.finish_attempt(leased(store, study, 0).token, released(event))
    subject.pass_time(60)
    assert store.unclaimed([study.id], 1) == []


def test_an_empty_store_has_nothing_to_do(any_store: Store) -> None:
    any_store.check_schema()
    for nothing in (any_store.expired(), any_store.due_schedules(), any_store.devices(), any_store.champions()):
        assert not nothing
    assert running(any_store).id in any_store.studies_to_drive()


def test_whether_there_is_another_slot(subject: Subject) -> None:
    store = subject.store
    (mine,) = (cpu := device("cpu")).slots
    store.put_devices("here", [cpu])
    assert not store.has_other_slots(mine, 0)
    assert store.has_other_slots("another", 0)
    assert not store.has_other_slots("another", 1)
    subject.pass_time(30)
    assert not store.has_other_slots("another", 0)


def test_a_slot_is_put_aside_for_a_while_by_the_lease_it_had(subject: Subject) -> None:
    store = subject.store
    study = queued(store, 2)
    lease = leased(store, study, 0, worker="cpu0.s0@here")
    store.finish_attempt(lease.token, scored(0.5))
    store.put_aside(lease.token, "its code is another", 30.0, study_only=True)
    store.put_aside(lease.token, "three trials in a row failed here", 60.0, study_only=False)
    store.put_aside("no such token", "nobody", 60.0, study_only=False)
    found = store.put_asides()
    assert [(each.worker, each.study_id, each.reason) for each in found] == [
        ("cpu0.s0@here", 0, "three trials in a row failed here"),
        ("cpu0.s0@here", study.id, "its code is another"),
    ]
    assert [(each.until - each.since).total_seconds() for each in found] == pytest.approx([60.0, 30.0], abs=0.1)
    store.put_aside(lease.token, "seven in a row", 10.0, study_only=False)
    subject.pass_time(11)
    assert [each.study_id for each in store.put_asides()] == [study.id]


def test_the_reapers_looks_follow_each_other_and_no_two_follow_one(any_store: Store) -> None:
    now, last = any_store.reaper_look()
    assert last is None
    first = ReaperLook(now, now, now)
    assert any_store.keep_look(first, None)
    assert not any_store.keep_look(replace(first, looked_at=now + timedelta(seconds=1)), None)
    second = ReaperLook(now + timedelta(seconds=5), now, now)
    assert any_store.keep_look(second, first)
    assert not any_store.keep_look(replace(first, looked_at=now + timedelta(seconds=6)), first)
    assert any_store.reaper_look()[1] == second


def test_a_duty_tells_when_it_was_last_done_and_how_often_it_is(subject: Subject) -> None:
    store = subject.store
    assert store.duties() == []
    store.did("reap", 5.0)
    store.did("drive", 5.0)
    subject.pass_time(40)
    store.did("reap", 2.0)
    assert [(each.name, each.every_s) for each in store.duties()] == [("drive", 5.0), ("reap", 2.0)]
    assert [each.ago_s for each in store.duties()] == pytest.approx([40.0, 0.0], abs=1.0)


def test_a_host_is_told_which_files_nothing_refers_to(subject: Subject) -> None:
    store = subject.store
    study = queued(store, 4)
    for number in (0, 1, 2):
        lease = leased(store, study, number)
        store.report(lease.token, [report(lease, 0, checkpoint=True)])
        store.finish_attempt(lease.token, scored(0.5 + number / 10, log_tail="said"))
        if number != 2:
            assert store.drop_checkpoints(lease.token)
    open_one = leased(store, study, 3)
    assert store.let_go(study.id, [0, 1, 2, 3], 3600) == []  # too soon
    assert [each.number for each in store.let_go(study.id, [0, 1, 2, 3, 9], 0)] == [0, 1]
    assert not any(each.logs for each in store.let_go(study.id, [0, 1], 0))
    assert store.let_go(study.id + 1, [0, 1], 0) == []  # another service's
    store.finish_attempt(open_one.token, scored(0.1, log_tail="said"))
    store.move_study(study.id, StudyEvent.FINISH, "done", turn=store.study(study.id).turn)
    store.prune(study.id, store.now() + timedelta(seconds=1), reports=False, logs=True)
    assert store.let_go(study.id, [0, 2], 0) == [LetGo(0, True, True), LetGo(2, False, True)]
