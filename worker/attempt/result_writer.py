"""Writes what a running trial brings: that it began, its reports with their checkpoints, and the tail of its log.

One thread, beside the runner's loop and the lease's keeper: a slow or locked table holds up this thread only. A store
that is away is waited for, and reports are kept meanwhile. What the store answers goes to the runner through a queue;
the runner is woken.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

from celeriac.domain.errors import LeaseLost, TryAgain, ValueRefused
from celeriac.domain.records import Checkpoint, Crossing, Report, RungRecord
from celeriac.store import Store
from worker.attempt.due_thread import DueThread
from worker.attempt.janitor import ASIDE_S
from worker.attempt.wakeup import Wakeup

log = logging.getLogger(__name__)

FLUSH_S = 0.25
AGAIN_S = 1.0
# A log's tail is written in full each time. So many bytes a second are what one slot may write of it, in a rhythm
# between a heartbeat and TAIL_S: a few lines are there soon, and 3,000 slots that print without end make 3 MB a second
# and not 17.
TAIL_BYTES_A_SECOND = 1_000
TAIL_S = 30.0

Saved = Callable[[Sequence[Report], Sequence[Checkpoint]], None]


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """What an attempt runs with: noted once its process is asked for."""

    fingerprint: str
    resumed_step: int | None
    log_path: str


@dataclass(slots=True, eq=False)
class Results:
    """One attempt's, on their way to the store: fed by the runner, and written by the thread until
    `ResultWriter.leave`.

    tail: the log's tail, or None while it has not changed. saved: told of reports that landed with checkpoints, and of
    the trial's checkpoints then; in the thread that writes. rungs: for the runner, the records at the rungs that were
    crossed. lost: the lease is gone. refused: a report holds a value that the store cannot keep. dropped: why reports
    were given up. crowded: the runner takes in no more reports until some are written.
    """

    token: str
    tail: Callable[[], str | None]
    saved: Saved
    tail_at: float
    sharers: int = 1
    rungs: SimpleQueue[Sequence[RungRecord]] = field(default_factory=SimpleQueue)
    lost: LeaseLost | None = None
    refused: ValueRefused | None = None
    dropped: str = ""
    crowded: bool = False
    started: AttemptStarted | None = None
    reports: deque[tuple[Report, Crossing | None]] = field(default_factory=deque)
    flush_at: float | None = None
    retry_at: float = 0.0
    unsent_tail: str | None = None

    def flush(self, store: Store) -> None:
        """Write what is there, but for the tail. Safe to repeat. Raises LeaseLost, TryAgain, ValueRefused."""
        self.flush_at = None
        if self.started is not None:
            started = self.started
            store.begin(
                self.token,
                fingerprint=started.fingerprint,
                resumed_step=started.resumed_step,
                log_path=started.log_path,
            )
            self.started = None
        batch = tuple(self.reports)
        if not batch:
            return
        reports = [report for report, _ in batch]
        landed = store.report(self.token, reports, [crossing for _, crossing in batch if crossing is not None])
        for _ in batch:
            self.reports.popleft()
        if landed.rungs:
            self.rungs.put(landed.rungs)
        if landed.checkpoints:
            self.saved(reports, landed.checkpoints)

    def drop(self, why: str) -> None:
        """Give up what is not written yet: the store refuses it, and would refuse it again."""
        self.dropped = why
        self.started = None
        self.reports.clear()

    def due_at(self) -> float:
        """When there is something to write next, on the monotonic clock."""
        due_at = self.tail_at if self.flush_at is None else min(self.tail_at, self.flush_at)
        return max(due_at, self.retry_at)


class ResultWriter(DueThread[Results]):
    """The thread, and the attempts whose results it writes: one, or those of a pack."""

    def __init__(self, store: Store, wakeup: Wakeup, *, lease_s: float, heartbeat_s: float) -> None:
        self.store = store
        self._wakeup = wakeup
        self._lease_s, self._heartbeat_s = lease_s, heartbeat_s
        super().__init__("result-writer")

    def open(self, token: str, *, tail: Callable[[], str | None], saved: Saved, sharers: int = 1) -> Results:
        """The results of the attempt that holds this lease: written as they come from now on. `sharers`: how many
        attempts this slot writes tails for.
        """
        return self._take(Results(token, tail, saved, tail_at=time.monotonic() + self._heartbeat_s, sharers=sharers))

    def start(self, results: Results, started: AttemptStarted) -> None:
        """Have it noted what the attempt runs with, once it has begun; it also takes the lease to disk."""
        self._put(results, lambda: setattr(results, "started", started), within_s=ASIDE_S)

    def report(self, results: Results, report: Report, crossing: Crossing | None = None) -> None:
        """Have a report written: within FLUSH_S, at once when it has a checkpoint or crosses a rung."""
        urgent = report.checkpoint is not None or crossing is not None
        self._put(results, lambda: results.reports.append((report, crossing)), within_s=0.0 if urgent else FLUSH_S)

    def leave(self, results: Results) -> None:
        """Write no more of them; waits for a write that is under way. What is left may be flushed by anybody then."""
        self._drop(results, wait=True)

    def _put(self, results: Results, put: Callable[[], None], *, within_s: float) -> None:
        with self._changed:
            put()
            due_at = time.monotonic() + within_s
            if results.flush_at is None or due_at < results.flush_at:
                results.flush_at = due_at
                self._changed.notify_all()

    def _due_at(self, results: Results) -> float:
        return results.due_at()

    def _work(self, results: Results) -> None:
        """Write what is due. Whatever goes wrong, the thread lives on."""
        try:
            if results.flush_at is not None and time.monotonic() >= results.flush_at:
                results.flush(self.store)
            if time.monotonic() >= results.tail_at:
                self._write_tail(results)
            results.retry_at = 0.0
        except LeaseLost as lost:
            results.lost = lost
            self._drop(results)
        except TryAgain as error:
            if results.retry_at == 0.0:
                log.warning("reports wait for the store, the trial runs on: %s", error)
            self._later(results)
        except ValueRefused as error:
            results.refused = error
            results.drop(str(error))
        except Exception as error:
            # What the store refuses for another reason it will refuse again; the trial's result is worth more than its
            # reports.
            log.exception("reports of lease %s… are not written and are given up", results.token[:8])
            results.drop(f"{type(error).__name__}: {error}")
            self._later(results)
        if not results.rungs.empty() or results.lost or results.refused or results.crowded:
            self._wakeup.set()

    def _write_tail(self, results: Results) -> None:
        """The log's tail if it changed, with a renewal of its own: the lease's keeper never carries it."""
        tail = results.unsent_tail = results.tail() or results.unsent_tail
        wait_s = self._heartbeat_s
        if tail is not None:
            self.store.renew(results.token, self._lease_s, log_tail=tail)
            results.unsent_tail = None
            wait_s = max(wait_s, min(results.sharers * len(tail) / TAIL_BYTES_A_SECOND, TAIL_S))
        results.tail_at = time.monotonic() + wait_s

    def _later(self, results: Results) -> None:
        results.retry_at = time.monotonic() + AGAIN_S
        if (results.started or results.reports) and results.flush_at is None:
            results.flush_at = results.retry_at
