"""The heartbeat's thread: it renews, writes in batches, keeps what the store cannot take now, and does chores without being waited for."""

import select
import threading
from collections.abc import Iterator, Sequence

import pytest

from celeriac.errors import LeaseLost, StoreUnavailable
from celeriac.records import Checkpoint, Crossing, Report, RungRecord
from celeriac.store import Store
from celeriac.store.api import Landed
from tests.store.scenes import NOON, crossing
from worker.heartbeat import Begun, Heartbeat, Pulse


class Recorder:
    """Stands for the store: notes what was called, and is away or refuses when told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.away = 0
        self.lost = False
        self.seen = threading.Condition()

    def begin(self, token: str, **more: object) -> None:
        self._note("begin", more["fingerprint"])

    def renew(self, token: str, lease_s: float, *, log_tail: str | None = None) -> None:
        self._note("renew", log_tail)

    def report(self, token: str, reports: Sequence[Report], crossings: Sequence[Crossing] = ()) -> Landed:
        self._note("report", [each.step for each in reports])
        rungs = (RungRecord(1, 0, each.rung, 1, 0, 1, 0, 0.0, 0.5, 0.5, NOON) for each in crossings)
        return Landed(tuple(each.checkpoint for each in reports if each.checkpoint), tuple(rungs))

    def _note(self, verb: str, what: object) -> None:
        if self.away > 0:
            self.away -= 1
            raise StoreUnavailable("away")
        if self.lost:
            raise LeaseLost("gone", reason="superseded")
        with self.seen:
            self.calls.append((verb, what))
            self.seen.notify_all()

    def wait_for(self, verb: str) -> None:
        with self.seen:
            assert self.seen.wait_for(lambda: any(name == verb for name, _ in self.calls), 5), self.calls


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def heartbeat(recorder: Recorder) -> Iterator[Heartbeat]:
    store: Store = recorder  # type: ignore[assignment] # the verbs that the thread uses
    heartbeat = Heartbeat(store, lease_s=30.0, heartbeat_s=0.1)
    yield heartbeat
    heartbeat.close()


def _watched(
    heartbeat: Heartbeat, kept: list[Checkpoint] | None = None, ranked: list[RungRecord] | None = None
) -> Pulse:
    return heartbeat.watch(
        "token",
        tail=lambda: "tail",
        checkpointed=lambda rows: (kept if kept is not None else []).extend(rows),
        ranked=lambda rows: (ranked if ranked is not None else []).extend(rows),
    )


def test_it_notes_the_beginning_and_renews_with_the_tail(heartbeat: Heartbeat, recorder: Recorder) -> None:
    pulse = _watched(heartbeat)
    pulse.begin(Begun("code", None, "log"))
    recorder.wait_for("renew")
    pulse.stop()
    assert recorder.calls[0] == ("begin", "code")
    assert ("renew", "tail") in recorder.calls


def test_fast_reports_are_written_together(heartbeat: Heartbeat, recorder: Recorder) -> None:
    pulse = _watched(heartbeat)
    for step in range(100):
        pulse.report(Report(step, 1.0))
    recorder.wait_for("report")
    pulse.stop()
    assert ("report", list(range(100))) in recorder.calls


def test_a_checkpoint_is_written_at_once_and_handed_on(heartbeat: Heartbeat, recorder: Recorder) -> None:
    kept: list[Checkpoint] = []
    pulse = _watched(heartbeat, kept)
    checkpoint = Checkpoint(1, 0, 1, 4, "1/0/x", "hash", 3)
    pulse.report(Report(4, 1.0, checkpoint=checkpoint))
    recorder.wait_for("report")
    pulse.stop()
    assert kept == [checkpoint]


def test_a_rung_is_asked_about_at_once_and_the_runner_is_woken(
    heartbeat: Heartbeat, recorder: Recorder
) -> None:
    ranked: list[RungRecord] = []
    pulse = _watched(heartbeat, ranked=ranked)
    pulse.report(Report(0, 0.4))
    pulse.report(Report(1, 0.5), crossing(1, 0.5))
    assert select.select([heartbeat], [], [], 5)[0]
    assert [each.rung for each in ranked] == [1]
    assert ("report", [0, 1]) in recorder.calls
    heartbeat.heed()
    assert not select.select([heartbeat], [], [], 0)[0]
    pulse.stop()


def test_what_the_store_cannot_take_now_is_kept(heartbeat: Heartbeat, recorder: Recorder) -> None:
    recorder.away = 1
    pulse = _watched(heartbeat)
    pulse.begin(Begun("code", None, "log"))
    pulse.report(Report(0, 1.0))
    recorder.wait_for("report")
    pulse.stop()
    assert [call for call in recorder.calls if call[0] != "renew"] == [("begin", "code"), ("report", [0])]


def test_what_is_left_is_written_by_whoever_stopped_it(heartbeat: Heartbeat, recorder: Recorder) -> None:
    pulse = _watched(heartbeat)
    pulse.stop()
    pulse.report(Report(0, 1.0))
    pulse.flush(recorder)  # type: ignore[arg-type]
    assert ("report", [0]) in recorder.calls


def test_a_lost_lease_wakes_the_runner_and_stops_the_beat(heartbeat: Heartbeat, recorder: Recorder) -> None:
    recorder.lost = True
    pulse = _watched(heartbeat)
    assert select.select([heartbeat], [], [], 5)[0]
    assert pulse.lost is not None
    pulse.stop()
    assert not select.select([heartbeat], [], [], 0)[0]


def test_chores_are_done_and_a_failing_one_does_not_end_the_thread(heartbeat: Heartbeat) -> None:
    done = threading.Event()

    def fails() -> None:
        raise RuntimeError("a chore's own bug")

    heartbeat.after(fails)
    heartbeat.after(done.set)
    assert done.wait(5)


def test_closing_does_the_chores_that_are_left(heartbeat: Heartbeat) -> None:
    done: list[int] = []
    for number in range(20):
        heartbeat.after(lambda number=number: done.append(number))  # type: ignore[misc]
    heartbeat.close()
    assert done == list(range(20))
