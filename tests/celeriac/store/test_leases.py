"""The contract on leases, kept by both stores: a ticket is leased once, and a token is a fence."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from celeriac.domain.errors import LeaseLost, UnknownStudy, UnknownTrial
from celeriac.domain.lifecycle import StudyEvent, TrialEvent
from celeriac.domain.records import Counts, Fault, Lease, LiveGpu, MemoryFault, Refusal, Report, ShortTrial, TrialState
from celeriac.domain.study_file import run_plan
from celeriac.store import Store
from celeriac.store.connection import open_engine
from tests.celeriac.store.conftest import Subject
from tests.celeriac.store.scenes import device, failed, leased, new_study, queued, running, scored, with_trials


def test_a_lease_carries_all_that_the_runner_needs(any_store: Store) -> None:
    opened = any_store.create_study(new_study(code_root="/code", slice={"region": "eu"}))
    any_store.move_study(opened.id, StudyEvent.START, "first turn")
    with_trials(any_store, opened, 1)
    before = any_store.now()
    lease = leased(any_store, opened, 0, worker="gpu0.s0@h", lease_s=60)
    assert (lease.study_id, lease.study, lease.number, lease.attempt) == (opened.id, opened.name, 0, 1)
    assert (lease.params, lease.plan, lease.code_root) == ({"lr": 0.0}, run_plan(opened.spec), "/code")
    assert (lease.slice, lease.due_at, lease.faults, lease.checkpoints) == ({"region": "eu"}, None, {}, ())
    assert timedelta(seconds=59) < lease.lease_until - before < timedelta(seconds=70)
    trial = any_store.trial(opened.id, 0)
    assert (trial.state, trial.attempts, trial.worker) == (TrialState.RUNNING, 1, "gpu0.s0@h")
    attempt = any_store.attempts(opened.id, 0)[0]
    assert (attempt.token, attempt.worker, attempt.device) == (lease.token, "gpu0.s0@h", "cpu")
    assert any_store.study(opened.id).counts == Counts(running=1)


def test_the_kind_of_the_device_stays_with_the_attempt_when_the_device_is_gone(any_store: Store) -> None:
    study = queued(any_store, 3)
    assert any_store.trial(study.id, 0).device_kind == ""
    any_store.put_devices("here", [device("GPU-1", kind="A100"), device("GPU-2", kind="H200")])
    lost = leased(any_store, study, 0, device="GPU-1", device_kind="A100")
    assert any_store.trial(study.id, 0).device_kind == "A100"
    waits = any_store.finish_attempt(lost.token, failed(Fault.OUT_OF_MEMORY, trial_event=TrialEvent.RETRY))
    assert waits.device_kind == "A100"
    again = leased(any_store, study, 0, attempt=2, device="GPU-2", device_kind="H200")
    assert any_store.finish_attempt(again.token, scored(0.5)).device_kind == "H200"
    unknown = any_store.lease(study.id, 1, 1, worker="w", device="GPU-3", lease_s=30)
    assert isinstance(unknown, Lease)
    any_store.finish_attempt(unknown.token, failed())
    any_store.cancel_trial(study.id, 2, "a person said so")
    any_store.put_devices("here", [])
    assert [each.device_kind for each in any_store.attempts(study.id, 0)] == ["A100", "H200"]
    assert [each.device_kind for each in any_store.ended_since(study.id, 0)] == ["H200", "", ""]
    page = any_store.trials(study.id)
    assert [each.device_kind for each in page] == ["H200", "", ""]
    assert [each.oom_device_kinds for each in page] == [("A100",), (), ()]


def test_a_lease_tells_where_and_with_what_the_trial_ran_out_of_memory(any_store: Store) -> None:
    study = queued(any_store, 1)
    for attempt, (kind, micro_batch) in enumerate((("T4", None), ("A100", 64)), start=1):
        lease = leased(any_store, study, 0, attempt=attempt, device_kind=kind)
        end = failed(Fault.OUT_OF_MEMORY, trial_event=TrialEvent.RETRY, micro_batch=micro_batch)
        any_store.finish_attempt(lease.token, end)
    lease = leased(any_store, study, 0, attempt=3, device_kind="A100")
    assert lease.memory_faults == (MemoryFault("T4", None), MemoryFault("A100", 64))
    any_store.finish_attempt(lease.token, scored(0.5, micro_batch=32))
    assert [each.micro_batch for each in any_store.attempts(study.id, 0)] == [None, 64, 32]
    (told,) = any_store.ended_since(study.id, 0)
    assert told.oom_device_kinds == ("T4",), "on the A100 a smaller micro-batch was enough"


def test_for_a_trial_that_a_person_runs_once_more_its_memory_faults_count_no_longer(any_store: Store) -> None:
    study = queued(any_store, 1)
    lease = leased(any_store, study, 0, device_kind="T4")
    any_store.finish_attempt(lease.token, failed(Fault.OUT_OF_MEMORY))
    any_store.retry_trials(study.id, None, "the leak is mended")
    again = leased(any_store, study, 0, attempt=2, device_kind="T4")
    assert again.memory_faults == ()
    any_store.finish_attempt(again.token, failed(Fault.OUT_OF_MEMORY, trial_event=TrialEvent.RETRY))
    assert leased(any_store, study, 0, attempt=3).memory_faults == (MemoryFault("T4", None),)


def test_a_worker_may_know_which_gpus_live(any_store: Store) -> None:
    assert any_store.live_gpus(0) == []
    small, large = replace(device("GPU-1", kind="T4"), memory_bytes=16), device("GPU-2", kind="H200")
    drained = replace(device("GPU-3", kind="A100"), slots=())
    any_store.put_devices("here", [small, large, drained, device("cpu")])
    told = [LiveGpu(each.kind, each.memory_bytes, each.labels) for each in (drained, large, small)]
    assert any_store.live_gpus(0) == told, "one that is taken out comes back"
    assert [each.kind for each in any_store.live_gpus(17)] == ["A100", "H200"]


def test_the_open_trials_that_ran_out_of_memory_are_told_of(any_store: Store) -> None:
    study, other = queued(any_store, 4), queued(any_store, 1)
    for kind, micro_batch in (("T4", None), ("A100", 64)):
        for number in (0, 2):
            attempt = any_store.trial(study.id, number).attempts + 1
            lease = leased(any_store, study, number, attempt=attempt, device_kind=kind)
            end = failed(Fault.OUT_OF_MEMORY, trial_event=TrialEvent.RETRY, micro_batch=micro_batch)
            any_store.finish_attempt(lease.token, end)
    leased(any_store, study, 2, attempt=3, device_kind="H200")
    ended = leased(any_store, study, 3, device_kind="T4")
    any_store.finish_attempt(ended.token, failed(Fault.OUT_OF_MEMORY))
    faults = (MemoryFault("T4", None), MemoryFault("A100", 64))
    found = any_store.short_trials([study.id, other.id])
    assert found == [ShortTrial(study.id, 0, True, faults), ShortTrial(study.id, 2, False, faults)]
    assert any_store.short_trials([other.id]) == any_store.short_trials([]) == []
    any_store.retry_trials(study.id, None, "a person has looked")
    assert [each.number for each in any_store.short_trials([study.id])] == [0, 2], "the one that ended has no past now"


def test_a_page_tells_on_which_kinds_of_devices_a_trial_ran_out_of_memory(any_store: Store) -> None:
    study = queued(any_store, 2)
    for attempt, kind in enumerate(("b", "B", "a b", "b", ""), start=1):
        lease = leased(any_store, study, 0, attempt=attempt, device_kind=kind)
        again = failed(Fault.OUT_OF_MEMORY, trial_event=TrialEvent.RETRY)
        any_store.finish_attempt(lease.token, again)
    lease = leased(any_store, study, 0, attempt=6, device_kind="c")
    any_store.finish_attempt(lease.token, failed(Fault.INFRASTRUCTURE, trial_event=TrialEvent.RETRY))
    lease = leased(any_store, study, 0, attempt=7, device_kind="d")
    any_store.finish_attempt(lease.token, failed(Fault.OUT_OF_MEMORY))
    found = any_store.ended_since(study.id, 0)
    assert [(each.device_kind, each.oom_device_kinds) for each in found] == [("d", ("", "B", "a b", "b", "d"))]
    assert [each.oom_device_kinds for each in any_store.trials(study.id)] == [("", "B", "a b", "b", "d"), ()]


def test_a_doubled_ticket_is_leased_once(any_store: Store) -> None:
    study = queued(any_store, 1)
    outcomes: list[Lease | Refusal] = []

    def take(worker: str) -> None:
        outcomes.append(any_store.lease(study.id, 0, 1, worker=worker, device="cpu", lease_s=30))

    threads = [threading.Thread(target=take, args=(f"w{k}",)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(each, Lease) for each in outcomes) == 1
    assert any_store.study(study.id).counts == Counts(running=1)
    assert len(any_store.attempts(study.id, 0)) == 1


def test_a_stale_ticket_changes_nothing(any_store: Store) -> None:
    study = queued(any_store, 1)
    for attempt in (0, 2):
        refused = any_store.lease(study.id, 0, attempt, worker="w", device="cpu", lease_s=30)
        assert isinstance(refused, Refusal)
        assert "stale ticket: trial 0" in refused.reason
    assert any_store.trial(study.id, 0).state is TrialState.QUEUED
    any_store.finish_attempt(leased(any_store, study, 0).token, scored(0.5))
    assert isinstance(any_store.lease(study.id, 0, 1, worker="w", device="cpu", lease_s=30), Refusal)
    with pytest.raises(UnknownTrial, match="has no trial 9"):
        any_store.lease(study.id, 9, 1, worker="w", device="cpu", lease_s=30)
    with pytest.raises(UnknownStudy):
        any_store.lease(12345, 0, 1, worker="w", device="cpu", lease_s=30)


def test_a_ticket_beyond_parallel_goes_back_to_the_buffer(any_store: Store) -> None:
    study = queued(any_store, 3, parallel=2)
    first = leased(any_store, study, 0)
    leased(any_store, study, 1)
    refused = any_store.lease(study.id, 2, 1, worker="w", device="cpu", lease_s=30)
    assert isinstance(refused, Refusal)
    assert "2 trials" in refused.reason
    assert any_store.trial(study.id, 2).state is TrialState.WAITING
    assert any_store.study(study.id).counts == Counts(waiting=1, running=2)
    any_store.finish_attempt(first.token, scored(0.5))
    assert leased(any_store, study, 2).attempt == 1


def test_many_workers_never_run_more_than_parallel(any_store: Store) -> None:
    study = queued(any_store, 8, parallel=3)
    outcomes: list[Lease | Refusal] = []

    def take(number: int) -> None:
        outcomes.append(any_store.lease(study.id, number, 1, worker="w", device="cpu", lease_s=30))

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(each, Lease) for each in outcomes) == 3
    assert any_store.study(study.id).counts == Counts(waiting=5, running=3)


def test_a_paused_study_gives_no_lease(any_store: Store) -> None:
    study = running(any_store)
    with_trials(any_store, study, 1)
    any_store.move_study(study.id, StudyEvent.PAUSE, "a person asked")
    refused = any_store.lease(study.id, 0, 1, worker="w", device="cpu", lease_s=30)
    assert isinstance(refused, Refusal)
    assert "is PAUSED" in refused.reason
    assert any_store.study(study.id).counts == Counts(waiting=1)


def test_begin_notes_what_the_attempt_runs_with(any_store: Store) -> None:
    study = queued(any_store, 1)
    lease = leased(any_store, study, 0)
    any_store.begin(lease.token, fingerprint="abc+dirty", resumed_step=4, log_path="1/0-1.log")
    attempt = any_store.attempts(study.id, 0)[0]
    assert (attempt.fingerprint, attempt.resumed_step, attempt.log_path) == ("abc+dirty", 4, "1/0-1.log")
    with pytest.raises(LeaseLost):
        any_store.begin("no such token", fingerprint="", resumed_step=None, log_path="")


def test_a_renewed_lease_holds_on_also_when_it_had_run_out(subject: Subject) -> None:
    store = subject.store
    study = queued(store, 1)
    lease = leased(store, study, 0, lease_s=0.05)
    subject.pass_time(60)
    assert [each.token for each in store.expired()] == [lease.token]
    store.renew(lease.token, 30, log_tail="epoch 1\n")
    assert store.expired() == []
    assert store.attempts(study.id, 0)[0].lease_until > store.now() + timedelta(seconds=20)
    store.renew(lease.token, 30)
    assert store.log_tail(study.id, 0, 1) == "epoch 1\n"


def test_a_tail_may_hold_anything_a_program_prints(any_store: Store) -> None:
    study = queued(any_store, 1)
    lease = leased(any_store, study, 0)
    any_store.renew(lease.token, 30, log_tail="NUL \0, surrogate \udc80, wide \U0001f966")
    assert any_store.log_tail(study.id, 0, 1) == "NUL \ufffd, surrogate ?, wide \U0001f966"
    any_store.finish_attempt(lease.token, failed(traceback="bad \0", log_tail="the end"))
    assert any_store.log_tail(study.id, 0, 1) == "the end"
    assert any_store.attempts(study.id, 0)[0].traceback == "bad \ufffd"


def test_a_log_of_an_unknown_attempt_is_an_error(any_store: Store) -> None:
    study = queued(any_store, 1)
    with pytest.raises(UnknownTrial, match="attempt 1 of trial 0"):
        any_store.log_tail(study.id, 0, 1)
    leased(any_store, study, 0)
    assert any_store.log_tail(study.id, 0, 1) == ""


def test_an_unknown_token_is_refused_everywhere(any_store: Store) -> None:
    with pytest.raises(LeaseLost, match="no attempt has the lease") as caught:
        any_store.finish_attempt("0" * 32, scored(0.5))
    assert caught.value.reason == "unknown lease"
    with pytest.raises(LeaseLost):
        any_store.renew("0" * 32, 30)


def test_leases_are_values(any_store: Store) -> None:
    study = queued(any_store, 1)
    lease = leased(any_store, study, 0)
    lease.params["lr"] = "changed"  # type: ignore[index]
    metrics = {"a": [1]}
    any_store.report(lease.token, [Report(0, 0.5, metrics)])
    metrics["a"].append(2)
    assert any_store.trial(study.id, 0).params == {"lr": 0.0}
    assert any_store.reports(study.id, 0)[0].metrics == {"a": [1]}
    any_store.reports(study.id, 0)[0].metrics["a"].append(3)
    assert any_store.reports(study.id, 0)[0].metrics == {"a": [1]}


def test_trials_are_listed_in_pages(any_store: Store) -> None:
    study = queued(any_store, 5)
    any_store.finish_attempt(leased(any_store, study, 3).token, scored(0.5))
    assert [trial.number for trial in any_store.trials(study.id, limit=2)] == [0, 1]
    assert [trial.number for trial in any_store.trials(study.id, after=1)] == [2, 3, 4]
    assert [trial.number for trial in any_store.trials(study.id, states=[TrialState.SCORED])] == [3]
    assert any_store.trials(12345) == []
    whole = any_store.trials(study.id)
    assert whole[0] == any_store.trial(study.id, 0)
    with pytest.raises(UnknownTrial, match="has no trial 5"):
        any_store.trial(study.id, 5)


def test_a_lease_that_meets_its_trials_queueing_takes_the_counters_as_they_are_then(
    store: Store, database: str
) -> None:
    """The lease begins before the trial is queued and goes on after it: an old ticket, as after a pause and a
    resume.
    """
    study = running(store)
    with_trials(store, study, 1)
    taken: list[Lease] = []
    thread = threading.Thread(target=lambda: taken.append(leased(store, study, 0)))
    engine = open_engine(database, pool_size=2)
    with engine.connect() as watching, engine.connect() as queueing:
        mine = queueing.execution_options(isolation_level="READ COMMITTED")
        with mine.begin():
            mine.execute(text("SELECT 1 FROM study WHERE id = :id FOR NO KEY UPDATE"), {"id": study.id})
            pid = mine.execute(text("SELECT pg_backend_pid()")).scalar_one()
            thread.start()
            blocked = text("SELECT count(*) FROM pg_stat_activity WHERE :pid = ANY(pg_blocking_pids(pid))")
            while not watching.execute(blocked, {"pid": pid}).scalar_one():
                assert thread.is_alive()
            mine.execute(text("UPDATE trial SET state = 'QUEUED' WHERE study_id = :id"), {"id": study.id})
            mine.execute(text("UPDATE study SET waiting = 0, queued = 1 WHERE id = :id"), {"id": study.id})
    thread.join()
    engine.dispose()
    assert [lease.number for lease in taken] == [0]
    assert store.study(study.id).counts == Counts(running=1)


def test_slot_runs_are_what_a_slots_time_was_spent_on(any_store: Store) -> None:
    before = any_store.now()
    study = queued(any_store, 3)
    first = leased(any_store, study, 0, worker="a")
    any_store.finish_attempt(first.token, failed(Fault.INFRASTRUCTURE, trial_event=TrialEvent.RETRY, device_s=2.5))
    second = leased(any_store, study, 0, attempt=2, worker="b")
    leased(any_store, study, 1, worker="a")
    any_store.finish_attempt(second.token, scored(0.5))
    one, two, three = any_store.slot_runs(before)
    assert [each.worker for each in (one, two, three)] == ["a", "b", "a"]
    assert (one.ran_s, one.ended_at is None, three.ended_at) == (2.5, False, None)
    assert two.ready_at == one.ended_at, "it was there from the end of the attempt before"
    assert one.opened_at <= one.ready_at <= one.leased_at
    assert any_store.slot_runs(any_store.now()) == [three]
    any_store.move_study(study.id, StudyEvent.STOP, "enough")
    assert any_store.slot_runs(any_store.now()) == []
