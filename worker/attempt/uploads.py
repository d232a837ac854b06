"""Copies a trial's checkpoints from this host's directory to the storage that all hosts see.

Promises: the row of a checkpoint is written after its copy is whole; nobody waits for the storage but who asks to
(`settled`), so a storage that is slow, or away, costs checkpoints and never a trial, its reports or its lease; of
checkpoints that come faster than they can be copied, the newest waits and the others are left out.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from celeriac.domain.errors import CeleriacError
from celeriac.domain.records import Checkpoint, Report
from celeriac.runtime.artefacts import Artefacts
from worker.attempt.checkpoints import resolved

log = logging.getLogger(__name__)

AGAIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told: `kept` of each report whose checkpoint is in the storage now, `note` of what the trial's owner
    should know, `left_out` of each checkpoint whose file nobody needs any more.
    """

    kept: Callable[[Report], None]
    note: Callable[[str], None]
    left_out: Callable[[Checkpoint], None]


class Uploads:
    """One attempt's checkpoints on their way. The thread begins with the first of them, and ends with `leave`."""

    def __init__(self, storage: Callable[[], Artefacts], root: Path, listeners: Listeners) -> None:
        self._open, self._root, self._listeners = storage, root, listeners
        self._changed = threading.Condition()
        self._waiting: Report | None = None
        self._copying = self._left = self._troubled = False
        self._thread: threading.Thread | None = None
        self.newest: int | None = None

    @property
    def used(self) -> bool:
        """Whether the trial has written any checkpoint."""
        return self._thread is not None

    def put(self, report: Report) -> None:
        """Copy this report's checkpoint soon; one that still waits gives way to it. Never waits."""
        with self._changed:
            before, self._waiting = self._waiting, report
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="uploads", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        if before is not None and before.checkpoint is not None:
            self._listeners.note(
                f"checkpoint of step {before.step} is left out: the storage is slower than the trial writes them"
            )
            self._listeners.left_out(before.checkpoint)

    def settled(self) -> bool:
        """Wait until all are copied; False when they were left first."""
        with self._changed:
            self._changed.wait_for(lambda: self._left or (self._waiting is None and not self._copying))
            return not self._left

    def leave(self) -> None:
        """Copy no more; what is under way will be deleted. Waits for nothing, and may be repeated."""
        with self._changed:
            self._left, self._waiting = True, None
            self._changed.notify_all()

    def _run(self) -> None:
        while (report := self._next()) is not None:
            checkpoint = report.checkpoint
            if checkpoint is None:
                continue
            try:
                self._open().put(resolved(self._root, checkpoint.path), checkpoint.path)
                self._copied(report, checkpoint)
            except (CeleriacError, OSError) as error:
                self._failed(report, str(error), again=True)
            except Exception as error:
                log.exception("the checkpoint %s cannot be copied", checkpoint.path)
                self._failed(report, f"{type(error).__name__}: {error}", again=False)

    def _next(self) -> Report | None:
        with self._changed:
            self._copying = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._left or self._waiting is not None)
            report, self._waiting = self._waiting, None
            self._copying = report is not None
            return report

    def _copied(self, report: Report, checkpoint: Checkpoint) -> None:
        """Have the row written, unless the attempt is over: then nobody will, and no file stays without one."""
        with self._changed:
            if not self._left:
                self._troubled, self.newest = False, report.step
                self._listeners.kept(report)
                return
        self._open().delete([checkpoint.path])

    def _failed(self, report: Report, why: str, *, again: bool) -> None:
        """Say so once for each trouble, and try again a while later unless a newer one has come."""
        if not self._troubled:
            self._troubled = True
            self._listeners.note(f"checkpoint of step {report.step} is not kept yet, going on: {why}")
            log.warning("a checkpoint waits for the storage: %s", why)
        with self._changed:
            self._changed.wait_for(lambda: self._left or self._waiting is not None, AGAIN_S)
            if self._waiting is None and again and not self._left:
                self._waiting = report
                return
        if report.checkpoint is not None:
            self._listeners.left_out(report.checkpoint)
