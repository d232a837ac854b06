"""The one value that travels through a pack's steps. Written by the runner's thread only."""

import math
import time
from collections.abc import Sequence

from celeriac.domain.records import Fault
from worker.attempt.classify import Cut
from worker.attempt.context import WorkerContext
from worker.attempt.pack_clock import PackClock
from worker.attempt.pack_leases import PackLeases
from worker.attempt.run_state import Run
from worker.process.events import Exit, Failed
from worker.process.trial_process import TrialProcess


class PackRun:
    """Several attempts and their one process. `open`: those that have not ended, the leader first."""

    def __init__(self, context: WorkerContext, members: Sequence[Run], leases: PackLeases) -> None:
        self.context, self.members, self.leases = context, tuple(members), leases
        self.open = list(members)
        self.clock = PackClock()
        self.process: TrialProcess | None = None
        self.deadline = self.hand_back_by = math.inf
        self.called = self.asked_back = self.said_all = False
        self.last: Failed | None = None
        self.exit: Exit | None = None
        self.cut: Cut | None = None

    @property
    def over(self) -> bool:
        """Whether its process has said its last word, or is gone."""
        return self.said_all or self.last is not None or self.exit is not None

    def member(self, number: int) -> Run:
        """The attempt of that trial."""
        return next(each for each in self.members if each.lease.number == number)

    def leave(self, member: Run) -> None:
        """That trial has ended here; the process goes on with the others."""
        if member not in self.open:
            return
        self.open = [each for each in self.open if each is not member]
        self.leases.leave(member.lease.token)
        self.context.results.leave(member.results)
        self.clock.leave(time.monotonic())
        if self.process is not None and not self.over and member.last is None:
            self.process.stop_member(member.lease.number)

    def cut_of(self, member: Run) -> Cut | None:
        """Why the process was cut short, for this trial: a user revokes the ticket of the leader alone."""
        if self.cut is Cut.REVOKED and member is not self.members[0]:
            return Cut.DRAIN
        return self.cut

    def end_process(self) -> None:
        """Leave no process."""
        if self.process is not None:
            self.exit = self.process.kill(0.0)

    @property
    def fault(self) -> Fault | None:
        """What is to be thought of this slot: a fault of infrastructure, if there was one, or what the last one came
        to.
        """
        found = [each.fault for each in self.members]
        return Fault.INFRASTRUCTURE if Fault.INFRASTRUCTURE in found else found[-1]

    @property
    def summary(self) -> str:
        """One line for the log and for Flower."""
        return "; ".join(filter(None, (each.summary for each in self.members)))
