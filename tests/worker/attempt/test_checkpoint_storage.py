"""Checkpoints in a directory that all hosts see, and on a real server of S3's protocol to which each host copies them:
the same promises.
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from celeriac.client import Client
from celeriac.client.retention import Kinds, prune
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.messages import RunTrial
from celeriac.domain.records import Fault, Outcome, TrialState
from celeriac.runtime.artefacts import CHECKPOINTS, Artefacts, open_artefacts
from celeriac.runtime.settings import Settings
from celeriac.store import Store
from tests.celeriac.runtime.artefacts.roots import BUCKET
from tests.worker.attempt.test_run_control import once_there
from tests.worker.conftest import Bench, opened_bench, until
from worker.node.sweep import sweep

Hosts = Callable[[str], Bench]


@pytest.fixture(params=["directory", "s3"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def kept_at(kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where checkpoints are kept: a directory, or an address of S3."""
    if kind == "directory":
        return str(tmp_path / "shared")
    for name, value in {**request.getfixturevalue("s3"), "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{tmp_path.name}"


@pytest.fixture
def hosts(store: Store, quick: Settings, kept_at: str, tmp_path: Path) -> Iterator[Hosts]:
    """Hosts by name: each with a directory of its own, where checkpoints are not in one that all see."""
    with ExitStack() as stack:

        def host(name: str) -> Bench:
            if "://" in kept_at:
                # Also a busy machine has copied the newest one by then, of which these tests speak.
                settings = replace(quick, checkpoints=kept_at, checkpoint_root=tmp_path / name, checkpoint_grace_s=60.0)
            else:
                settings = replace(quick, checkpoint_root=Path(kept_at))
            return stack.enter_context(opened_bench(store, settings))

        yield host


def files(bench: Bench) -> list[str]:
    """The files of the place that all hosts see, below it."""
    if bench.settings.checkpoints:
        return storage(bench).keys("")
    root = bench.settings.checkpoint_root
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def storage(bench: Bench) -> Artefacts:
    return open_artefacts(bench.settings.checkpoints, CHECKPOINTS)


def spoil(bench: Bench, path: str, data: bytes) -> None:
    """Somebody has changed a file where it is kept."""
    if bench.settings.checkpoints:
        other = bench.settings.home / "other"
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_bytes(data)
        storage(bench).put(other, path)
    else:
        (bench.settings.checkpoint_root / path).write_bytes(data)


def drain_after(bench: Bench, sign: Path, step: int) -> None:
    """Drain the worker once its trial has told of that step."""
    until(lambda: int(sign.read_text() or 0) >= step)
    bench.context.control.drain()


def undisturbed(bench: Bench, tmp_path: Path) -> float:
    score = bench.run("attempts:walks", {"file": str(tmp_path / "alone"), "step_s": 0.0}, name="alone").score
    assert score is not None
    return score


def walking(bench: Bench, tmp_path: Path) -> tuple[RunTrial, Path]:
    sign = tmp_path / "walked"
    return bench.ticket(bench.study("attempts:walks"), {"file": str(sign), "step_s": 0.15}), sign


def test_a_trial_that_is_handed_back_goes_on_on_another_host(hosts: Hosts, tmp_path: Path) -> None:
    first, second = hosts("a"), hosts("b")
    ticket, sign = walking(first, tmp_path)
    with once_there(sign, lambda: drain_after(first, sign, 5)):
        first.attempt(ticket)
    trial = first.trial(ticket)
    assert (trial.state, trial.fault) == (TrialState.PAUSED, Fault.PREEMPTED)
    rows = first.store.checkpoints(ticket.study, ticket.trial)
    assert rows[0].step == trial.last_step
    assert {each.path for each in rows} <= set(files(first))
    first.store.queue_trials(ticket.study, first.store.study(ticket.study).turn, [ticket.trial])
    second.attempt(replace(ticket, attempt=2))
    trial = second.trial(ticket)
    assert (trial.state, trial.score, trial.attempts) == (TrialState.SCORED, undisturbed(second, tmp_path), 2)
    assert second.attempts(trial)[1].resumed_step == rows[0].step
    second.settle()
    assert files(second) == []


def test_a_trial_that_is_killed_goes_on_on_another_host_from_its_last_report(hosts: Hosts) -> None:
    first, second = hosts("a"), hosts("b")
    ticket = first.ticket(first.study("attempts:steps"), {"fail_at": 2})
    first.attempt(ticket)
    assert first.trial(ticket).fault is Fault.INFRASTRUCTURE
    second.attempt(replace(ticket, attempt=2))
    trial = second.trial(ticket)
    assert (trial.state, trial.score) == (TrialState.SCORED, 5.0)
    assert second.attempts(trial)[1].resumed_step == 2
    assert trial.last_step == 4


@pytest.mark.parametrize("data", [b"{}", b""], ids=["changed", "empty"])
def test_a_checkpoint_that_was_changed_is_skipped_for_the_one_before_with_a_note(hosts: Hosts, data: bytes) -> None:
    first, second = hosts("a"), hosts("b")
    ticket = first.ticket(first.study("attempts:steps"), {"fail_at": 3})
    first.attempt(ticket)
    newest, before = first.store.checkpoints(ticket.study, ticket.trial)[:2]
    spoil(first, newest.path, data)
    second.attempt(replace(ticket, attempt=2))
    trial = second.trial(ticket)
    assert (trial.state, trial.score) == (TrialState.SCORED, 5.0)
    assert second.attempts(trial)[1].resumed_step == before.step
    assert f"checkpoint of step {newest.step} refused: " in second.tail(trial, 2)


def test_while_the_trial_lives_what_no_row_names_is_deleted(hosts: Hosts, tmp_path: Path) -> None:
    bench = hosts("a")
    ticket, sign = walking(bench, tmp_path)

    with once_there(sign, lambda: drain_after(bench, sign, 20)):
        bench.attempt(ticket)
    bench.settle()
    rows = bench.store.checkpoints(ticket.study, ticket.trial)
    assert 2 <= len(rows) <= 3
    assert files(bench) == sorted(each.path for each in rows)
    here = bench.settings.checkpoint_root
    assert len([path for path in here.rglob("*") if path.is_file()]) == len(rows)


def test_what_hosts_that_died_left_of_ended_trials_is_swept(hosts: Hosts) -> None:
    bench = hosts("a")
    ticket = bench.ticket(bench.study("attempts:steps"))
    bench.attempt(ticket)
    bench.settle()
    left = f"{ticket.study}/{ticket.trial}/attempt1-step9.ckpt"
    bench.settings.checkpoint_root.joinpath(left).parent.mkdir(parents=True, exist_ok=True)
    spoil(bench, left, b"half a copy")
    spoil(bench, "99999/0/attempt1-step9.ckpt", b"another service's") if bench.settings.checkpoints else None
    assert left in files(bench)
    sweep(bench.store, bench.settings, older_than_s=0.0)
    assert [each for each in files(bench) if not each.startswith("99999/")] == []


def test_a_study_s_checkpoints_are_pruned_and_deleted_where_they_are_kept(hosts: Hosts, tmp_path: Path) -> None:
    bench = hosts("a")
    client = Client(bench.settings)
    for name in ("old", "unwanted"):
        ticket = bench.ticket(bench.study("attempts:steps", name), {"fail_at": 2})
        bench.attempt(ticket)
        bench.store.move_study(ticket.study, StudyEvent.STOP, "enough")
    bench.settle()
    assert len(files(bench)) >= 4
    assert client.study("unwanted").delete().files >= 2
    assert len(bench.store.checkpoints(1, 0)) >= 2
    later = bench.store.now() + timedelta(days=1)
    dropped = prune(bench.store, bench.settings, later, Kinds(), lambda *_: None)
    assert dropped.checkpoints >= 2
    assert files(bench) == []
    client.close()


# -- a storage that is away, or does not answer ------------------------------------------------------------------------
@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch, s3: dict[str, str]) -> Iterator[dict[str, str]]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield {**s3, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.getsockname()[1]}", "AWS_MAX_ATTEMPTS": "1"}


@pytest.fixture
def away(s3: dict[str, str]) -> dict[str, str]:
    return {**s3, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}


@pytest.mark.parametrize(
    ("how", "said"),
    [("away", "checkpoint of step 0 is not kept yet, going on: s3://"), ("silent", "left out: the storage is slower")],
)
def test_it_costs_the_checkpoints_and_neither_the_trial_nor_its_lease(
    store: Store, quick: Settings, how: str, said: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in request.getfixturevalue(how).items():
        monkeypatch.setenv(name, value)
    with opened_bench(store, replace(quick, checkpoints=f"s3://{BUCKET}/{how}", lease_s=2.0)) as bench:
        began = time.monotonic()
        trial = bench.run("attempts:saves_for", {"seconds": 4.0})
        assert time.monotonic() - began < 10
        assert (trial.state, trial.attempts, trial.faults) == (TrialState.SCORED, 1, {})
        assert len(bench.store.reports(trial.study_id, trial.number)) > 20
        assert said in bench.tail(trial)
        # A process that dies is an attempt to be repeated: without checkpoints from the start, and soon.
        began = time.monotonic()
        died = bench.run("attempts:steps", {"fail_at": 2}, name="dies")
        assert time.monotonic() - began < quick.checkpoint_grace_s + 5
        assert (died.state, died.fault) == (TrialState.WAITING, Fault.INFRASTRUCTURE)
        assert "its newest checkpoint is not in the storage" in died.detail
        assert bench.store.checkpoints(died.study_id, died.number) == []


def test_a_trial_whose_checkpoints_cannot_be_reached_is_put_off_at_no_charge(
    store: Store,
    quick: Settings,
    s3: dict[str, str],
    away: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.attempt.resume.AWAY_S", 0.5)
    monkeypatch.setattr("worker.attempt.resume.AGAIN_S", 0.1)
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    settings = replace(
        quick, checkpoints=f"s3://{BUCKET}/put-off", checkpoint_root=tmp_path / "a", checkpoint_grace_s=60.0
    )
    with opened_bench(store, settings) as first:
        ticket = first.ticket(first.study("attempts:steps"), {"fail_at": 2})
        first.attempt(ticket)
    for name, value in away.items():
        monkeypatch.setenv(name, value)
    with opened_bench(store, replace(settings, checkpoint_root=tmp_path / "b")) as second:
        second.attempt(replace(ticket, attempt=2))
        trial = second.trial(ticket)
        assert (trial.state, trial.faults) == (TrialState.PAUSED, {"infrastructure": 1})
        assert "its checkpoints cannot be reached from" in trial.detail
        assert second.attempts(trial)[1].outcome is Outcome.RELEASED
        assert trial.not_before is not None
        assert second.run("quick:good", name="after").state is TrialState.SCORED
