"""The one value that travels through an attempt's steps. Written by the runner's thread only."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from celeriac.domain.errors import LeaseLost
from celeriac.domain.messages import RunTrial
from celeriac.domain.records import Artefact, Checkpoint, Fault, Lease
from worker.attempt.checkpoints import Retention
from worker.attempt.classify import Cut
from worker.attempt.context import WorkerContext
from worker.attempt.early_stop import Pruner
from worker.attempt.heartbeat import KeptLease
from worker.attempt.logs import AttemptLog
from worker.attempt.membership import Membership
from worker.attempt.pack_clock import PackClock
from worker.attempt.result_writer import Results
from worker.attempt.uploads import Uploads
from worker.process.events import Exit, Failed, Returned, Stopped
from worker.process.trial_process import TrialProcess


@dataclass(slots=True)
class Run:
    """One attempt on its way through the steps; each step fills in its part."""

    context: WorkerContext
    ticket: RunTrial
    lease: Lease
    log: AttemptLog
    kept: KeptLease
    results: Results
    retention: Retention
    membership: Membership | None = None
    uploads: Uploads | None = None
    clock: PackClock | None = None  # of its pack
    resumed: Checkpoint | None = None
    pruner: Pruner | None = None
    model: Artefact | None = None
    has_checkpoint: bool = False
    has_progressed: bool = False
    notes: list[str] = field(default_factory=list)
    process: TrialProcess | None = None
    started_at: float = 0.0
    deadline: float = math.inf
    hand_back_by: float = math.inf
    called: bool = False
    scored: Returned | None = None
    last: Returned | Stopped | Failed | None = None
    exit: Exit | None = None
    cut: Cut | None = None
    last_step: int | None = None
    micro_batch: int | None = None
    asked: dict[str, tuple[Any, Mapping[str, Any]]] = field(default_factory=dict)  # a name's value and form
    unjudged: bool = False
    asked_back: bool = False
    by_member: bool = False  # the fault is another member's, and tells nothing of this slot
    short_kind: str = ""  # the kind of that member's device, which was out of memory
    summary: str = ""
    fault: Fault | None = Fault.PREEMPTED  # until it is judged: nothing was learned of the slot

    @property
    def over(self) -> bool:
        """Whether its process has said its last word, or is gone."""
        return self.last is not None or self.exit is not None

    @property
    def device_s(self) -> float:
        """The device time that it has taken, or its part of its pack's."""
        if self.clock is not None:
            return self.clock.charged_s(time.monotonic())
        return time.monotonic() - self.started_at if self.started_at else 0.0

    @property
    def lost(self) -> LeaseLost | None:
        """Set once somebody else has the trial."""
        return self.kept.lost or self.results.lost

    @property
    def name(self) -> str:
        """For the log: the study, the trial and the attempt."""
        return f"{self.lease.study} trial {self.lease.number} attempt {self.lease.attempt}"
