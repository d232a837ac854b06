"""The runner, end to end on real Postgres, Redis and fork servers: what stands in the store after an attempt."""

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.messages import RunTrial
from celeriac.domain.records import Fault, Outcome, Source, Suggestion, TrialState
from celeriac.runtime.broker import DRIVE_QUEUE
from celeriac.store.api import AttemptEnd
from tests.celeriac.store.scenes import full_disk
from tests.worker.conftest import Bench
from worker.attempt import conclude
from worker.attempt.job import trial_seed
from worker.attempt.run_state import Run
from worker.attempt.store_retry import UntilStopped


def test_a_score_is_recorded_with_all_that_belongs_to_it(bench: Bench) -> None:
    trial = bench.run("quick:rich")
    assert (trial.state, trial.score, trial.step) == (TrialState.SCORED, 0.75, 3)
    assert trial.metrics == {"holdout": 0.7}
    assert (trial.holdout, trial.drift) == ((0.5, 1.0), 0.125)
    (attempt,) = bench.attempts(trial)
    assert (attempt.outcome, attempt.worker) == (Outcome.SCORED, "cpu0.s0@testhost")
    assert (attempt.device, attempt.device_kind) == ("cpu-testhost", "cpu")
    assert attempt.fingerprint
    assert attempt.device_s > 0
    assert attempt.peak_memory_bytes > 1_000_000
    reports = bench.store.reports(trial.study_id, trial.number)
    assert [(each.step, each.metrics) for each in reports] == [(0, {"loss": 0.25, "phase": "warm"}), (3, {})]


def test_the_coordinator_is_told(bench: Bench) -> None:
    bench.run("quick:good")
    bench.settle()
    assert bench.context.tickets.waiting(DRIVE_QUEUE) == 1


@pytest.mark.parametrize(
    ("objective", "params", "fault", "detail"),
    [
        ("quick:raises", {}, Fault.USER_BUG, "KeyError: 'missing'"),
        ("quick:returns", {"what": "string"}, Fault.USER_BUG, "str 'abc'"),
        ("quick:returns", {"what": "nothing"}, Fault.USER_BUG, "nothing (None)"),
        ("quick:returns", {"what": "nan"}, Fault.NOT_FINITE, "returned nan"),
        ("quick:exits", {}, Fault.USER_BUG, "exited with code 3"),
        ("quick:leaves", {}, Fault.USER_BUG, "exited with code 4"),
        ("quick:dies", {"signal": "SIGSEGV"}, Fault.USER_BUG, "crashed with SIGSEGV"),
        ("quick:nowhere", {}, Fault.USER_BUG, "nowhere"),
    ],
)
def test_a_fault_of_the_trial_s_own_fails_it_at_once(
    bench: Bench, objective: str, params: dict[str, str], fault: Fault, detail: str
) -> None:
    trial = bench.run(objective, params)
    assert (trial.state, trial.fault) == (TrialState.FAILED, fault)
    assert detail in trial.detail
    (attempt,) = bench.attempts(trial)
    assert (attempt.outcome, attempt.fault) == (Outcome.FAULT, fault)
    assert trial.signature


def test_a_traceback_is_kept_and_ends_in_the_user_s_file(bench: Bench) -> None:
    trial = bench.run("quick:raises")
    (attempt,) = bench.attempts(trial)
    assert "in _deeper" in attempt.traceback
    assert "forkserver" not in attempt.traceback
    assert "KeyError: 'missing'" in bench.tail(trial)


@pytest.mark.parametrize("signal_name", ["SIGKILL", "SIGTERM"])
def test_killed_from_outside_is_infrastructure_and_free(bench: Bench, signal_name: str) -> None:
    trial = bench.run("quick:dies", {"signal": signal_name})
    assert (trial.state, trial.fault) == (TrialState.WAITING, Fault.INFRASTRUCTURE)
    assert f"killed by {signal_name} from outside" in trial.detail
    assert "free retry 1 of 5" in trial.detail


def test_a_lost_fork_server_is_infrastructure_and_the_next_attempt_gets_a_new_one(bench: Bench) -> None:
    trial = bench.run("attempts:loses_its_server")
    assert (trial.state, trial.fault) == (TrialState.WAITING, Fault.INFRASTRUCTURE)
    assert bench.run("quick:good", name="after").state is TrialState.SCORED


@pytest.mark.parametrize("objective", ["attempts:sleeps", "attempts:sleeps_deaf"])
def test_a_sleeper_is_ended_at_its_timeout(bench: Bench, objective: str) -> None:
    trial = bench.run(objective, timeout=0.3)
    assert (trial.state, trial.fault) == (TrialState.FAILED, Fault.TIMEOUT)
    assert "timeout of 0.3 s" in trial.detail
    assert bench.tail(trial) == "asleep\n"


HANGS = "import threading\nthreading.Event().wait()\n"
HANGS_WHEN_FRESH = """import pathlib, threading
sign = pathlib.Path("imported-once")
if sign.exists():
    threading.Event().wait()
sign.touch()
threading.Thread(target=threading.Event().wait, daemon=True).start()
"""


@pytest.mark.parametrize(("module", "limit_s", "isolated"), [(HANGS, 1.0, ""), (HANGS_WHEN_FRESH, 6.0, "fresh")])
def test_an_import_that_hangs_is_ended_at_its_limit_and_the_slot_goes_on(
    bench: Bench, tmp_path: Path, module: str, limit_s: float, isolated: str
) -> None:
    """Also where each trial imports for itself, since the first import left a thread behind."""
    (tmp_path / "mine.py").write_text(f"{module}def objective(trial):\n    return 1\n")
    bench.context.settings = replace(bench.settings, code_root=tmp_path, import_s=limit_s)
    trial = bench.run("mine:objective")
    assert (trial.state, trial.fault) == (TrialState.FAILED, Fault.USER_BUG)
    assert f"still busy after {limit_s:g} s" in trial.detail
    assert "CELERIAC_IMPORT_S" in trial.detail
    assert bool(isolated) == ("isolation: fresh" in bench.tail(trial))
    bench.context.settings = bench.settings
    assert bench.run("quick:good", name="after").state is TrialState.SCORED


@pytest.mark.parametrize("then", ["return", "sleep"])
def test_a_process_that_hid_is_found_and_ended(bench: Bench, tmp_path: Path, then: str) -> None:
    params = {"file": str(tmp_path / "pid"), "then": then}
    trial = bench.run("attempts:hides_a_process", params, timeout=4.0)
    assert trial.state is (TrialState.SCORED if then == "return" else TrialState.FAILED)
    bench.context.servers.finish()  # as the slot's next ticket does first
    assert not Path(f"/proc/{int((tmp_path / 'pid').read_text())}").exists()


def test_a_megabyte_of_output_is_kept_in_the_file_and_its_end_in_the_store(bench: Bench) -> None:
    trial = bench.run("quick:prints")
    assert trial.state is TrialState.SCORED
    (attempt,) = bench.attempts(trial)
    text = Path(attempt.log_path).read_text()
    assert text.count("line ") == 20_000
    tail = bench.tail(trial)
    assert len(tail.encode()) <= bench.settings.log_tail_bytes + 10
    assert tail.startswith("[...]\nline ")
    assert "raw stderr" in tail
    assert "from C" in tail


def test_a_stale_ticket_is_a_no_op(bench: Bench) -> None:
    ticket = bench.ticket(bench.study("quick:good"))
    bench.attempt(ticket)
    assert "stale ticket" in bench.attempt(ticket)
    assert "stale ticket" in bench.attempt(replace(ticket, attempt=3))
    assert len(bench.attempts(bench.trial(ticket))) == 1


def test_a_ticket_of_a_paused_study_puts_its_trial_back(bench: Bench) -> None:
    study = bench.study("quick:good")
    ticket = bench.ticket(study)
    bench.store.move_study(study.id, StudyEvent.PAUSE, "wait")
    assert "PAUSED" in bench.attempt(ticket)
    assert bench.trial(ticket).state is TrialState.WAITING


def test_a_ticket_of_no_trial_is_a_no_op(bench: Bench) -> None:
    assert "nothing to do" in bench.attempt(RunTrial(99, 0, 1))


def test_a_study_of_a_newer_version_stays_with_its_lease_and_the_slot_goes_on(bench: Bench) -> None:
    ticket = bench.ticket(bench.study("quick:good", stop_early={"rule": "oracle"}))
    assert "stop_early.rule" in bench.attempt(ticket)
    assert bench.trial(ticket).state is TrialState.RUNNING
    assert bench.run("quick:good", name="another").state is TrialState.SCORED


def test_a_job_that_is_too_large_is_the_study_s_fault(bench: Bench) -> None:
    trial = bench.run("quick:good", {"x": "x" * 100_000})
    assert (trial.state, trial.fault) == (TrialState.FAILED, Fault.USER_BUG)
    assert "over the limit" in trial.detail


def test_the_trial_is_told_where_it_is(bench: Bench) -> None:
    trial = bench.run("attempts:says_where")
    (report,) = bench.store.reports(trial.study_id, trial.number)
    assert report.metrics == {"device": "cpu", "study": "digits", "seed": trial_seed(7, 0)}
    assert bench.tail(trial) == "here \n"


def test_a_seed_given_with_the_trial_is_its_own_on_every_attempt(bench: Bench) -> None:
    study = bench.study("attempts:says_where")
    pair = [Suggestion({"x": x}, Source.CHAMPION, seed=41) for x in (0.1, 0.2)]
    seeds = []
    for trial in bench.store.add_trials(study.id, study.turn, pair):
        bench.attempt(RunTrial(study.id, trial.number, 1))
        (report,) = bench.store.reports(study.id, trial.number)
        seeds.append(report.metrics["seed"])
    assert seeds == [41, 41]


def test_an_objective_outside_the_worker_s_code_root_is_refused(bench: Bench, tmp_path: Path) -> None:
    bench.context.settings = replace(bench.settings, code_root=tmp_path)
    trial = bench.run("quick:good")
    assert (trial.state, trial.score, trial.faults) == (TrialState.WAITING, None, {})  # the host's fault
    assert bench.attempts(trial)[0].outcome is Outcome.RELEASED
    assert f"there is no module quick below {tmp_path}" in trial.detail


def test_a_changed_file_is_loaded_anew(bench: Bench, tmp_path: Path) -> None:
    bench.context.settings = replace(bench.settings, code_root=tmp_path)
    module = tmp_path / "mine.py"
    module.write_text("def objective(trial):\n    return 1\n")
    assert bench.run("mine:objective", name="one").score == 1
    module.write_text("def objective(trial):\n    return 22\n")
    assert bench.run("mine:objective", name="two").score == 22


# -- checkpoints
# ----------------------------------------------------------------------------------------------------------
def _files(bench: Bench) -> list[str]:
    root = bench.settings.checkpoint_root
    return sorted(path.name for path in root.rglob("*") if path.is_file())


def test_the_next_attempt_goes_on_from_the_newest_checkpoint(bench: Bench) -> None:
    ticket = bench.ticket(bench.study("attempts:steps"), {"fail_at": 2})
    bench.attempt(ticket)
    assert bench.trial(ticket).state is TrialState.WAITING
    bench.attempt(replace(ticket, attempt=2))
    trial = bench.trial(ticket)
    assert (trial.state, trial.score) == (TrialState.SCORED, 5.0)
    first, second = bench.attempts(trial)
    assert (first.resumed_step, second.resumed_step) == (None, 2)
    assert [each.step for each in bench.store.reports(trial.study_id, trial.number, attempt=2)] == [3, 4]


def test_while_a_trial_lives_the_best_and_the_last_two_checkpoints_are_kept(bench: Bench) -> None:
    ticket = bench.ticket(bench.study("attempts:steps", metric={"name": "loss", "goal": "minimize"}), {"fail_at": 4})
    bench.attempt(ticket)
    bench.settle()
    rows = bench.store.checkpoints(ticket.study, ticket.trial)
    assert [row.step for row in rows] == [4, 3, 0]
    assert _files(bench) == [f"attempt1-step{step}.ckpt" for step in (0, 3, 4)]


def test_checkpoints_go_when_the_trial_has_ended(bench: Bench) -> None:
    trial = bench.run("attempts:steps")
    bench.settle()
    assert trial.state is TrialState.SCORED
    assert bench.store.checkpoints(trial.study_id, trial.number) == []
    assert _files(bench) == []


def test_a_damaged_checkpoint_is_passed_over_and_without_a_sound_one_it_starts_over(bench: Bench) -> None:
    ticket = bench.ticket(bench.study("attempts:steps"), {"fail_at": 1})
    bench.attempt(ticket)
    root = bench.settings.checkpoint_root
    for row in bench.store.checkpoints(ticket.study, ticket.trial):
        (root / row.path).write_text("damaged")
    bench.attempt(replace(ticket, attempt=2))
    trial = bench.trial(ticket)
    assert (trial.state, trial.score) == (TrialState.SCORED, 5.0)
    assert "started over" in trial.detail
    assert "refused" in bench.tail(trial, attempt=2)
    assert bench.attempts(trial)[1].resumed_step is None


def test_a_checkpoint_root_that_cannot_be_written_costs_the_checkpoints_only(bench: Bench, tmp_path: Path) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("not a directory")
    bench.context.settings = replace(bench.settings, checkpoint_root=blocked)
    trial = bench.run("attempts:steps")
    assert trial.state is TrialState.SCORED
    assert "not written, going on" in bench.tail(trial)


def test_a_log_directory_that_cannot_be_written_costs_the_file_only(bench: Bench, tmp_path: Path) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("not a directory")
    bench.context.settings = replace(bench.settings, log_root=blocked)
    trial = bench.run("quick:raises")
    assert trial.state is TrialState.FAILED
    assert "the log file" in bench.tail(trial)
    assert "KeyError" in bench.tail(trial)


def test_a_log_directory_that_hangs_costs_the_file_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe without a reader stands for the first trial's file: opening it does not come back."""
    monkeypatch.setattr("worker.attempt.logs.CLOSE_S", 0.3)
    study = bench.study("quick:raises")
    log = bench.settings.log_root / str(study.id) / "0-1.log"
    log.parent.mkdir(parents=True)
    os.mkfifo(log)
    trials = [bench.ticket(study) for _ in range(2)]
    for ticket in trials:
        bench.attempt(ticket)
        trial = bench.trial(ticket)
        assert trial.state is TrialState.FAILED
        assert "KeyError" in bench.tail(trial)
        assert "ends here: it does not answer" in bench.tail(trial)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    assert bench.context.log_writer.settle(5)
    os.close(reader)


def test_a_disk_that_is_full_costs_checkpoint_and_log_file_and_says_so(bench: Bench) -> None:
    """The kernel's own full disk stands where the log file and the first checkpoint go; later there is space."""
    study = bench.study("attempts:fills_the_disk")
    log = bench.settings.log_root / str(study.id) / "0-1.log"
    log.parent.mkdir(parents=True)
    log.symlink_to("/dev/full")
    ticket = bench.ticket(study, {"fills": [0, 2]})
    bench.attempt(ticket)
    trial = bench.trial(ticket)
    assert (trial.state, trial.fault) == (TrialState.WAITING, Fault.INFRASTRUCTURE)
    tail = bench.tail(trial)
    assert "0-1.log ends here: No space left on device" in tail
    for step in (0, 2):
        assert f"checkpoint of step {step} not written, going on: [Errno 28] No space left on device" in tail
    assert [row.step for row in bench.store.checkpoints(trial.study_id, trial.number)] == [1]
    assert _files(bench) == ["attempt1-step1.ckpt"]
    assert [each.step for each in bench.store.reports(trial.study_id, trial.number)] == [0, 1, 2]
    bench.attempt(replace(ticket, attempt=2))
    trial = bench.trial(ticket)
    assert (trial.state, trial.score, trial.fault) == (TrialState.SCORED, 0.5, None)
    assert bench.attempts(trial)[1].resumed_step == 1


def test_a_disk_that_is_full_under_postgres_delays_the_end_of_a_trial_and_loses_nothing(
    bench: Bench, database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as full:

        def judge(attempt: Run) -> AttemptEnd:
            """The trial has ended; before it is written down the disk fills up."""
            full.enter_context(full_disk(database, "UPDATE", "attempt"))
            return judged(attempt)

        def pause(_: UntilStopped, _delay_s: float) -> bool:
            """The first that the runner hears of it; then somebody makes space."""
            full.close()
            return True

        judged = conclude.judge
        monkeypatch.setattr("worker.attempt.run.judge", judge)
        monkeypatch.setattr(UntilStopped, "__call__", pause)
        trial = bench.run("quick:rich")
    heard = [line for line in caplog.messages if "its end waits" in line]
    assert len(heard) == 1
    assert "trial 0 attempt 1: its end waits for the store: the disk of Postgres at" in heard[0]
    assert (trial.state, trial.score) == (TrialState.SCORED, 0.75)
    assert [each.step for each in bench.store.reports(trial.study_id, trial.number)] == [0, 3]


def test_no_descriptor_is_left_by_a_trial(bench: Bench) -> None:
    study = bench.study("quick:good")
    tickets: list[RunTrial] = [bench.ticket(study) for _ in range(8)]
    for ticket in tickets[:2]:
        bench.attempt(ticket)
    _settle(bench)
    before = len(os.listdir("/proc/self/fd"))
    for ticket in tickets[2:]:
        bench.attempt(ticket)
    _settle(bench)
    assert len(os.listdir("/proc/self/fd")) <= before


def _settle(bench: Bench) -> None:
    """Until the server is gone, and the last end is announced (which connects to Redis)."""
    bench.context.servers.close()
    bench.settle()
