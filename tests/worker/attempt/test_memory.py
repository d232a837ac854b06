"""Trials that run out of memory, as real processes: the slot goes on, the fault is known for what it is, and the same
parameters are not run again where they did not fit.
"""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from celeriac.domain.messages import JoinGang, RunTrial
from celeriac.domain.records import Device, Fault, Outcome, Seat, TrialRecord, TrialState
from celeriac.store import Store
from tests.worker.conftest import Bench, opened_bench, until
from worker.attempt.gang import take_part
from worker.devices.probe import Slot

pytestmark = pytest.mark.services


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def count(runs: Path) -> int:
    return len(runs.read_text().splitlines()) if runs.exists() else 0


def on(bench: Bench, kind: str) -> None:
    """Have the slot be one of a GPU of that kind."""
    bench.context.slot = Slot("gpu0.s0@testhost", f"GPU-{kind}", kind, "")


def gpus(store: Store, **memory_gib: int) -> None:
    """These GPUs are alive, on a host each."""
    for kind, gib in memory_gib.items():
        at = store.now()
        device = Device(f"GPU-{kind}", kind, kind, gib << 30, {}, (f"gpu0.s0@{kind}",), "", "ok", at)
        store.put_devices(kind, [device])


def again(bench: Bench, ticket: RunTrial) -> TrialRecord:
    """Run the trial's next attempt."""
    bench.attempt(replace(ticket, attempt=bench.trial(ticket).attempts + 1))
    return bench.trial(ticket)


@pytest.fixture
def small(store: Store, quick: Any) -> Iterator[Bench]:
    """A slot whose trials may hold 300 MiB."""
    with opened_bench(store, replace(quick, trial_memory_bytes=300 << 20)) as bench:
        yield bench


@pytest.mark.parametrize("objective", ["until_the_rlimit", "in_c_plus_plus", "in_a_child"])
def test_a_leak_costs_its_trial_and_is_not_run_again(bench: Bench, runs: Path, objective: str) -> None:
    trial = bench.run(f"leaks:{objective}", {"runs": str(runs)}, retry={"attempts": 5})
    assert (trial.state, trial.fault, trial.attempts) == (TrialState.FAILED, Fault.OUT_OF_MEMORY, 1)
    assert "not again on cpu" in trial.detail
    assert count(runs) == 1
    assert bench.run("quick:good", {"x": 4}, name="after").state is TrialState.SCORED


def test_a_leak_that_nothing_else_ends_is_ended_by_the_service(small: Bench, runs: Path) -> None:
    trial = small.run("leaks:until_it_is_ended", {"runs": str(runs)}, timeout=60)
    assert (trial.state, trial.fault) == (TrialState.FAILED, Fault.OUT_OF_MEMORY)
    assert "over CELERIAC_TRIAL_MEMORY_BYTES" in trial.detail
    assert (count(runs), small.attempts(trial)[0].fault) == (1, Fault.OUT_OF_MEMORY)
    assert small.run("quick:good", {"x": 4}, name="after").state is TrialState.SCORED


def test_a_script_that_plans_its_batches_is_run_once_more_with_half(bench: Bench, runs: Path) -> None:
    ticket = bench.ticket(bench.study("leaks:by_the_plan"), {"runs": str(runs), "batch": 96, "fits": 50})
    bench.attempt(ticket)
    waits = bench.trial(ticket)
    assert (waits.state, waits.fault) == (TrialState.WAITING, Fault.OUT_OF_MEMORY)
    assert "attempt 2 of 2 follows with at most 48 samples at once instead of 96" in waits.detail
    trial = again(bench, ticket)
    assert (trial.state, trial.score) == (TrialState.SCORED, 48.0)
    assert trial.metrics == {"steps": 2, "batch_plan": "96 = 2 steps of 48", "micro_batch": 48, "accumulation_steps": 2}
    assert [each.micro_batch for each in bench.attempts(trial)] == [96, 48]
    (told,) = bench.store.ended_since(trial.study_id, 0)
    assert told.oom_device_kinds == (), "these parameters run here"


def test_half_that_does_not_fit_either_is_infeasible(bench: Bench, runs: Path) -> None:
    study = bench.study("leaks:by_the_plan", retry={"attempts": 9})
    ticket = bench.ticket(study, {"runs": str(runs), "batch": 96, "fits": 8})
    bench.attempt(ticket)
    trial = again(bench, ticket)
    assert (trial.state, trial.fault, count(runs)) == (TrialState.FAILED, Fault.OUT_OF_MEMORY, 2)
    assert [each.micro_batch for each in bench.attempts(trial)] == [96, 48]
    (told,) = bench.store.ended_since(trial.study_id, 0)
    assert told.oom_device_kinds == ("cpu",)


def test_where_another_kind_has_more_it_goes_there_and_never_comes_back(bench: Bench, runs: Path) -> None:
    gpus(bench.store, T4=16, H200=141)
    on(bench, "T4")
    study = bench.study("quick:out_of_memory", resources={"gpus": 1}, retry={"attempts": 3})
    ticket = bench.ticket(study)
    bench.attempt(ticket)
    assert "attempt 2 of 3 follows on another kind of device" in bench.trial(ticket).detail
    left = again(bench, ticket)
    assert (left.state, left.attempts) == (TrialState.WAITING, 2)
    released = bench.attempts(left)[-1]
    assert (released.outcome, released.fault) == (Outcome.RELEASED, None)
    assert "ran out of memory on T4 before" in released.detail
    on(bench, "H200")
    bench.context.left_to_others.trials.clear()
    trial = again(bench, ticket)
    assert (trial.state, trial.attempts, trial.faults) == (TrialState.FAILED, 3, {"out_of_memory": 2})
    assert "not again on H200 and T4" in trial.detail


def test_where_no_other_kind_is_left_it_ends(bench: Bench, runs: Path) -> None:
    gpus(bench.store, T4=16, H200=141)
    on(bench, "T4")
    ticket = bench.ticket(bench.study("quick:out_of_memory", resources={"gpus": 1}, retry={"attempts": 3}))
    bench.attempt(ticket)
    bench.store.put_devices("H200", [])
    trial = again(bench, ticket)
    assert (trial.state, trial.fault, trial.attempts) == (TrialState.FAILED, Fault.OUT_OF_MEMORY, 2)
    assert "no device of another kind is there" in trial.detail


def test_another_kind_with_less_memory_is_no_help(bench: Bench) -> None:
    gpus(bench.store, T4=16, H200=141)
    on(bench, "H200")
    trial = bench.run("quick:out_of_memory", resources={"gpus": 1}, retry={"attempts": 3})
    assert (trial.state, trial.attempts) == (TrialState.FAILED, 1)


def fate_of_another_member(store: Store, ticket: RunTrial, *, kind: str, fault: Fault | None) -> threading.Thread:
    """A second member on a device of that kind has come; in the thread it ends by that fault once the round begins."""
    where = {"device": f"GPU-{kind}", "device_kind": kind, "address": "127.0.0.1", "port": 1, "lease_s": 60.0}
    seat = store.join_gang(ticket.study, ticket.trial, ticket.attempt, worker="w2", host="zzz", **where)  # type: ignore[arg-type]
    assert isinstance(seat, Seat), seat

    def end() -> None:
        until(lambda: any(each.rank for each in store.gang_members(ticket.study, ticket.trial, ticket.attempt)))
        if fault is not None:
            store.end_membership(seat.token, fault=fault, detail="too much for this card")

    thread = threading.Thread(target=end)
    thread.start()
    return thread


def test_of_a_gang_on_mixed_kinds_the_card_that_was_too_small_is_remembered(bench: Bench) -> None:
    gpus(bench.store, T4=16, H200=141, A100=141)  # where the two that it asks for are left to it
    on(bench, "H200")
    study = bench.study("quick:one_of_several", resources={"gpus": 2}, retry={"attempts": 3})
    ticket = bench.ticket(study)
    for attempt, fault in ((1, Fault.OUT_OF_MEMORY), (2, None)):
        other = fate_of_another_member(bench.store, replace(ticket, attempt=attempt), kind="T4", fault=fault)
        take_part(JoinGang(ticket.study, ticket.trial, attempt), bench.context)
        other.join()
    trial = bench.trial(ticket)
    first, second = bench.attempts(trial)
    assert (first.fault, first.device_kind, first.short_kind) == (Fault.OUT_OF_MEMORY, "H200", "T4")
    assert "rank 1 on w2: too much for this card" in first.detail
    assert "follows on another kind of device" in first.detail
    assert (second.outcome, second.fault) == (Outcome.RELEASED, None)
    assert "ran out of memory on T4 before" in second.detail, "though rank 0 is on another kind"
    assert (trial.state, trial.faults) == (TrialState.WAITING, {"out_of_memory": 1})
