"""What is written while a trial runs: the lease's renewals, reports with their checkpoints, and chores that nobody waits for.

One thread of the pool process does all of it, so that neither the user's code (which runs in another process) nor a slow database
(which holds up this thread only) can keep the runner's loop from its timeouts. It writes in the order: attempt begun, reports,
renewal. A store that is away is waited for; reports are kept meanwhile. A lost lease stops it and wakes the runner.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from celeriac.errors import CeleriacError, LeaseLost, StoreUnavailable
from celeriac.records import Checkpoint, Crossing, Report, RungRecord
from celeriac.store import Store

log = logging.getLogger(__name__)

FLUSH_S = 0.25
AGAIN_S = 1.0
# Between two trials the slot's own steps come first: what can wait these moments does not compete with them for the cores.
ASIDE_S = 0.03

Chore = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Begun:
    """What an attempt runs with: noted once its process is asked for."""

    fingerprint: str
    resumed_step: int | None
    log_path: str


class Pulse:
    """One attempt's heartbeat: made by `Heartbeat.watch`, fed by the runner, stopped before the attempt is finished."""

    def __init__(
        self,
        heartbeat: "Heartbeat",
        token: str,
        tail: Callable[[], str | None],
        checkpointed: Callable[[Sequence[Checkpoint]], None],
        ranked: Callable[[Sequence[RungRecord]], None],
    ) -> None:
        """`tail` gives the log's tail, or None while it has not changed; `checkpointed` gets the trial's checkpoints when one
        was committed; `ranked` its records at the rungs that were crossed, and the runner is woken. The heartbeat's thread calls them.
        """
        self.token, self.tail, self.checkpointed, self.ranked = token, tail, checkpointed, ranked
        self.begun: Begun | None = None
        self.reports: deque[tuple[Report, Crossing | None]] = deque()
        self.flush_at: float | None = None
        self.renew_at = time.monotonic() + heartbeat.heartbeat_s
        self.retry_at = 0.0
        self.lost: LeaseLost | None = None
        self._heartbeat = heartbeat

    def begin(self, begun: Begun) -> None:
        """Have it noted what the attempt runs with."""
        with self._heartbeat.changed:
            self.begun = begun
            self.flush_at = time.monotonic() + ASIDE_S
            self._heartbeat.changed.notify()

    def report(self, report: Report, crossing: Crossing | None = None) -> None:
        """Have a report written: within FLUSH_S, at once when it has a checkpoint or crosses a rung."""
        with self._heartbeat.changed:
            self.reports.append((report, crossing))
            due_at = time.monotonic() + (0.0 if report.checkpoint or crossing else FLUSH_S)
            if self.flush_at is None or due_at < self.flush_at:
                self.flush_at = due_at
                self._heartbeat.changed.notify()

    def stop(self) -> None:
        """Stop beating; when this returns nothing more is written by the thread."""
        self._heartbeat.leave(self)

    def flush(self, store: Store) -> None:
        """Write what is there; by the thread, or after `stop` by anybody. Safe to repeat. Raises LeaseLost, StoreUnavailable."""
        self.flush_at = None
        if self.begun is not None:
            begun = self.begun
            store.begin(
                self.token,
                fingerprint=begun.fingerprint,
                resumed_step=begun.resumed_step,
                log_path=begun.log_path,
            )
            self.begun = None
        batch = tuple(self.reports)
        if not batch:
            return
        crossings = [crossing for _, crossing in batch if crossing is not None]
        landed = store.report(self.token, [report for report, _ in batch], crossings)
        for _ in batch:
            self.reports.popleft()
        if landed.rungs:
            self.ranked(landed.rungs)
            self._heartbeat.wake()
        if landed.checkpoints:
            self.checkpointed(landed.checkpoints)

    def due_at(self) -> float:
        """When there is something to write next, on the monotonic clock."""
        due_at = self.renew_at if self.flush_at is None else min(self.renew_at, self.flush_at)
        return max(due_at, self.retry_at)


class Heartbeat:
    """The thread and what it works on: at most one attempt's pulse, and chores."""

    def __init__(self, store: Store, *, lease_s: float, heartbeat_s: float) -> None:
        self.lease_s, self.heartbeat_s = lease_s, heartbeat_s
        self.changed = threading.Condition()
        self._store = store
        self._pulse: Pulse | None = None
        self._beating = False
        self._chores: list[tuple[float, Chore]] = []
        self._closing = False
        self._woken = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """Readable when the watched attempt has lost its lease, or was ranked at a rung."""
        return self._woken

    def wake(self) -> None:
        """Make it readable."""
        os.eventfd_write(self._woken, 1)

    def heed(self) -> None:
        """Take note: not readable any more, until the next time."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._woken)

    def watch(
        self,
        token: str,
        *,
        tail: Callable[[], str | None],
        checkpointed: Callable[[Sequence[Checkpoint]], None],
        ranked: Callable[[Sequence[RungRecord]], None],
    ) -> Pulse:
        """Keep this lease from now on."""
        pulse = Pulse(self, token, tail, checkpointed, ranked)
        with self.changed:
            self._pulse = pulse
            self.changed.notify()
        return pulse

    def leave(self, pulse: Pulse) -> None:
        """Let go of a pulse; waits for a write that is under way."""
        with self.changed:
            if self._pulse is pulse:
                self._pulse = None
            while self._beating:
                self.changed.wait()
        self.heed()

    def after(self, chore: Chore, *, aside_s: float = 0.0) -> None:
        """Have something done, in `aside_s` at the earliest, that nobody waits for, and that heals by itself if it is never done."""
        with self.changed:
            self._chores.append((time.monotonic() + aside_s, chore))
            self.changed.notify()

    def close(self, within_s: float = 5.0) -> None:
        """Do the chores that are left, then end the thread. Safe to repeat."""
        with self.changed:
            self._closing = True
            self.changed.notify()
        self._thread.join(within_s)
        if not self._thread.is_alive() and self._woken >= 0:
            os.close(self._woken)
            self._woken = -1

    def _run(self) -> None:
        while True:
            with self.changed:
                while (chore := self._due_chore()) is None and not self._is_due():
                    if self._closing and not self._chores:
                        return
                    self.changed.wait(self._patience())
                pulse = self._pulse if self._is_due() else None
                if pulse is None and chore is not None:
                    self._chores.remove(chore)
                self._beating = pulse is not None
            try:
                if pulse is not None:
                    self._beat(pulse)
                elif chore is not None:
                    _done(chore[1])
            finally:
                with self.changed:
                    self._beating = False
                    self.changed.notify_all()

    def _is_due(self) -> bool:
        return self._pulse is not None and time.monotonic() >= self._pulse.due_at()

    def _due_chore(self) -> tuple[float, Chore] | None:
        now = time.monotonic()
        return next((chore for chore in self._chores if self._closing or chore[0] <= now), None)

    def _patience(self) -> float | None:
        moments = [due_at for due_at, _ in self._chores]
        if self._pulse is not None:
            moments.append(self._pulse.due_at())
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _beat(self, pulse: Pulse) -> None:
        """Write what is due. Whatever goes wrong, the thread lives on."""
        try:
            if pulse.flush_at is not None and time.monotonic() >= pulse.flush_at:
                pulse.flush(self._store)
            if time.monotonic() >= pulse.renew_at:
                self._store.renew(pulse.token, self.lease_s, log_tail=pulse.tail())
                pulse.renew_at = time.monotonic() + self.heartbeat_s
            pulse.retry_at = 0.0
        except LeaseLost as lost:
            self._lose(pulse, lost)
        except StoreUnavailable as error:
            if pulse.retry_at == 0.0:
                log.warning("the store is away, the trial runs on: %s", error)
            self._later(pulse)
        except Exception:
            # What the store refuses for another reason it will refuse again; the trial's result is worth more than its reports.
            log.exception("reports of lease %s… were not written and are given up", pulse.token[:8])
            pulse.begun = None
            pulse.reports.clear()
            self._later(pulse)

    def _later(self, pulse: Pulse) -> None:
        pulse.retry_at = time.monotonic() + AGAIN_S
        if (pulse.begun or pulse.reports) and pulse.flush_at is None:
            pulse.flush_at = pulse.retry_at

    def _lose(self, pulse: Pulse, lost: LeaseLost) -> None:
        with self.changed:
            pulse.lost = lost
            if self._pulse is pulse:
                self._pulse = None
        self.wake()


def _done(chore: Chore) -> None:
    try:
        chore()
    except (CeleriacError, OSError) as error:
        log.warning("left to heal by itself: %s", error)
    except Exception:
        log.exception("a chore failed and is given up")
