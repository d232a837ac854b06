"""One slot's memory of what it leaves to others: studies whose code this host has not, trials that just faulted here;
and its streak of faults.

In memory only: nobody else needs it to decide, and a slot that starts anew may find everything well. What people and
the coordinator should know is noted in the store.
"""

import time
from dataclasses import dataclass, field

from celeriac.decide.put_aside import Streak
from celeriac.domain.records import Lease

#: For so long a trial that faulted here is left to others, if there are any.
ELSEWHERE_S = 30.0
#: A study whose code is not here is looked at again after so long, then twice that, and so on.
FIRST_LOOK_S = 10.0
LAST_LOOK_S = 300.0


@dataclass(frozen=True, slots=True)
class Left:
    """What is left to others until then (by the monotonic clock), with what its tickets need to be sent on."""

    until: float
    wait_s: float
    study: str
    gpus: float
    is_placed: bool
    reason: str


@dataclass(slots=True)
class LeftToOthers:
    """See above. `streak` is `celeriac.decide.put_aside`'s."""

    studies: dict[int, Left] = field(default_factory=dict)
    trials: dict[tuple[int, int], Left] = field(default_factory=dict)
    streak: Streak = field(default_factory=Streak)

    def leave_study(self, lease: Lease, reason: str) -> Left:
        """Leave the study to others, longer each time."""
        before = self.studies.get(lease.study_id)
        wait_s = FIRST_LOOK_S if before is None else min(2 * before.wait_s, LAST_LOOK_S)
        self.studies[lease.study_id] = _left(lease, wait_s, reason)
        return self.studies[lease.study_id]

    def leave_trial(self, lease: Lease, reason: str) -> None:
        """Leave the trial to others for a while."""
        now = time.monotonic()
        self.trials = {key: each for key, each in self.trials.items() if each.until > now}
        self.trials[lease.study_id, lease.number] = _left(lease, ELSEWHERE_S, reason)


def _left(lease: Lease, wait_s: float, reason: str) -> Left:
    return Left(
        time.monotonic() + wait_s, wait_s, lease.study, lease.plan.resources.gpus, lease.placed is not None, reason
    )
