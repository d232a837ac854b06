"""Records that only the store's verbs take and give, beside the domain's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.records import Artefact, Checkpoint, Fault, RungRecord


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How an attempt ends and what becomes of its trial: already decided, only to be written down.

    `attempt_event` ends the attempt and `trial_event` moves the trial (score, prune, fail, retry, park or cancel).
    `fault` is counted in the trial's `faults` when it is given: `forgives` as the first of its class, else as one
    more. `wait_s`: a trial that goes on is not before so many seconds are over (`TrialRecord.not_before`). `log_tail`
    None keeps the tail that `renew` last stored. `holdout` and `drift` stand beside the score; all three are finite.
    `device_s`: for how long it ran (its part, of a pack): it is charged for each device that it held.
    `micro_batch`: the most samples at once that the attempt's batch plan had. `pack_most`: its pack was split by the
    fault `split_by`, and the trial goes on in one of so many at most. `short_kind`: the kind of the device that was out
    of memory, where it was another's than the attempt's.
    """

    attempt_event: AttemptEvent
    trial_event: TrialEvent
    score: float | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    step: int | None = None
    fault: Fault | None = None
    detail: str = ""
    traceback: str = ""
    signature: str = ""
    device_s: float = 0.0
    peak_memory_bytes: int = 0
    log_tail: str | None = None
    forgives: bool = False
    wait_s: float = 0.0
    holdout: tuple[float, ...] = ()
    drift: float | None = None
    model: Artefact | None = None
    micro_batch: int | None = None
    gpu_peak_bytes: int = 0
    pack_most: int | None = None
    split_by: Fault | None = None
    short_kind: str = ""


@dataclass(frozen=True, slots=True)
class ReportAck:
    """What `report` tells of reports that landed.

    checkpoints: the trial's, newest first, when one came with the reports, else none. rungs: the trial's record at
    each rung that was crossed, in the order of the rungs: the new one, or the one that an earlier attempt left there.
    """

    checkpoints: tuple[Checkpoint, ...] = ()
    rungs: tuple[RungRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows one call of `prune` took away."""

    reports: int = 0
    logs: int = 0
