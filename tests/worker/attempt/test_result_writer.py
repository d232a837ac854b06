"""What a running trial brings is written beside its loop: in batches, in order, and kept while the store is away."""

import select
from collections.abc import Iterator, Sequence

import pytest

from celeriac.domain.errors import LeaseLost, StoreUnavailable, TryAgain, ValueRefused
from celeriac.domain.records import Checkpoint, Report
from celeriac.store import Store
from tests.celeriac.store.scenes import crossing
from tests.worker.written import Written
from worker.attempt import result_writer
from worker.attempt.result_writer import AttemptStarted, Results, ResultWriter
from worker.attempt.wakeup import Wakeup

STARTED = AttemptStarted("code", None, "log")


@pytest.fixture
def writer(written: Written, wakeup: Wakeup) -> Iterator[ResultWriter]:
    store: Store = written  # type: ignore[assignment] # the verbs that the thread uses
    writer = ResultWriter(store, wakeup, lease_s=30.0, heartbeat_s=0.05)
    yield writer
    written.go_on.set()
    writer.close()


def _opened(writer: ResultWriter, tails: Sequence[str] = (), saved: list[Checkpoint] | None = None) -> Results:
    left = list(tails)
    return writer.open(
        "token",
        tail=lambda: left.pop(0) if left else None,
        saved=lambda _reports, rows: (saved if saved is not None else []).extend(rows),
    )


def test_the_beginning_is_noted_before_the_first_report(writer: ResultWriter, written: Written) -> None:
    results = _opened(writer)
    writer.start(results, STARTED)
    writer.report(results, Report(0, 1.0))
    written.wait_for("report")
    assert written.calls == [("begin", "code"), ("report", [0])]


def test_fast_reports_are_written_together(writer: ResultWriter, written: Written) -> None:
    results = _opened(writer)
    for step in range(100):
        writer.report(results, Report(step, 1.0))
    written.wait_for("report")
    assert written.calls == [("report", list(range(100)))]


def test_a_checkpoint_is_written_at_once_and_handed_on(writer: ResultWriter, written: Written) -> None:
    saved: list[Checkpoint] = []
    results = _opened(writer, saved=saved)
    checkpoint = Checkpoint(1, 0, 1, 4, "1/0/x", "hash", 3)
    writer.report(results, Report(4, 1.0, checkpoint=checkpoint))
    written.wait_for("report")
    writer.leave(results)
    assert saved == [checkpoint]


def test_a_rung_is_asked_about_at_once_and_waits_for_the_runner_in_a_queue(
    writer: ResultWriter, written: Written, wakeup: Wakeup
) -> None:
    results = _opened(writer)
    writer.report(results, Report(0, 0.4))
    writer.report(results, Report(1, 0.5), crossing(1, 0.5))
    assert select.select([wakeup], [], [], 5)[0]
    assert [each.rung for each in results.rungs.get_nowait()] == [1]
    assert ("report", [0, 1]) in written.calls


@pytest.mark.parametrize("error", [StoreUnavailable("away"), TryAgain("two writers met")])
def test_what_the_store_cannot_take_now_is_kept(
    writer: ResultWriter, written: Written, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_writer, "AGAIN_S", 0.05)
    written.errors = [error]
    results = _opened(writer)
    writer.start(results, STARTED)
    writer.report(results, Report(0, 1.0))
    written.wait_for("report")
    assert written.calls == [("begin", "code"), ("begin", "code"), ("report", [0])]


def test_what_is_left_is_written_by_whoever_left_it(writer: ResultWriter, written: Written) -> None:
    results = _opened(writer)
    writer.leave(results)
    writer.report(results, Report(0, 1.0))
    results.flush(writer.store)
    assert written.calls == [("report", [0])]


@pytest.mark.parametrize("error", [LeaseLost("gone", reason="superseded"), ValueRefused("bigint out of range")])
def test_what_ends_the_attempt_wakes_the_runner(
    writer: ResultWriter, written: Written, wakeup: Wakeup, error: Exception
) -> None:
    written.errors = [error]
    results = _opened(writer)
    writer.report(results, Report(0, 1.0, checkpoint=Checkpoint(1, 0, 1, 0, "1/0/x", "hash", 3)))
    assert select.select([wakeup], [], [], 5)[0]
    assert error in (results.lost, results.refused)


def test_what_the_database_refuses_for_a_reason_of_its_own_is_dropped_and_the_thread_lives_on(
    writer: ResultWriter, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_writer, "AGAIN_S", 0.05)
    written.errors = [RuntimeError("a trigger's error")]
    results = _opened(writer)
    writer.report(results, Report(0, 1.0))
    written.wait_for("report")
    writer.leave(results)
    assert results.dropped == "RuntimeError: a trigger's error"
    following = _opened(writer)
    writer.report(following, Report(1, 1.0))
    written.wait_for("report", 2)
    assert written.calls[-1] == ("report", [1])


def test_a_tail_is_written_only_when_it_changed_and_a_long_one_seldom(writer: ResultWriter, written: Written) -> None:
    results = _opened(writer, tails=["short", "x" * 40_000, "never in this test"])
    written.wait_for("renew", 2)
    writer.leave(results)
    assert [what for verb, what in written.calls if verb == "renew"] == ["short", "x" * 40_000]
    assert results.tail_at - results.retry_at > result_writer.TAIL_S - 1.0


def test_a_tail_that_could_not_be_written_is_written_later(
    writer: ResultWriter, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_writer, "AGAIN_S", 0.05)
    written.errors = [StoreUnavailable("away")]
    _opened(writer, tails=["only once"])
    written.wait_for("renew", 2)
    assert written.calls == [("renew", "only once")] * 2
