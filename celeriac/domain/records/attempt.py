"""An attempt: the lease that it runs under, what it reports and saves, and how it ends."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from celeriac.domain.records.gang import Place
from celeriac.domain.records.placing import Placed
from celeriac.domain.records.resources import Resources
from celeriac.domain.states import Fault, Goal, Outcome, Params, Source
from celeriac.domain.stop_rules import StopRule


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a trial under one lease.

    `late` holds a result that came after the lease was gone; it never counts. `device_kind` is what `Device.kind` was
    when it was leased, "" when unknown. `preempted_at`: when it was asked to hand itself back, for this reason.
    `micro_batch`: the most samples at once that its batch plan had; None without a plan.
    `gpu_peak_bytes`: the most that it held of a GPU's memory; 0: not measured. `pack`: what all attempts have in common
    that one process ran together, "" for one alone; `packed`: how many they were. `pack_most`: so many at most its
    trial is run with from then on, for this fault of the pack, `split_by`. `width`: how many devices, or CPU slots, it
    held: a share of a GPU, one, or a gang's members. `device_s`: device-seconds, the time that it ran (its part, of a
    pack) times its `width`. `short_kind`: the kind of the device that was out of memory, where it was another member's.
    """

    study_id: int
    trial: int
    number: int
    token: str
    worker: str
    device: str
    fingerprint: str
    leased_at: datetime
    lease_until: datetime
    ended_at: datetime | None
    outcome: Outcome | None
    fault: Fault | None
    detail: str
    traceback: str
    device_s: float
    peak_memory_bytes: int
    resumed_step: int | None
    log_path: str
    late: Mapping[str, Any] | None
    device_kind: str = ""
    preempted_at: datetime | None = None
    preempt_reason: str = ""
    gpu_peak_bytes: int = 0
    micro_batch: int | None = None
    pack: str = ""
    packed: int = 1
    pack_most: int | None = None
    split_by: Fault | None = None
    width: float = 1.0
    short_kind: str = ""


@dataclass(frozen=True, slots=True)
class MemoryFault:
    """An attempt that ran out of memory: on which kind of device, and the most samples at once that its batch plan had
    (None: it used no plan).
    """

    device_kind: str
    micro_batch: int | None


@dataclass(frozen=True, slots=True)
class ShortTrial:
    """An open trial of which attempts ran out of memory, in order. `is_ready`: a ticket may be sent for it now."""

    study_id: int
    number: int
    is_ready: bool
    faults: tuple[MemoryFault, ...]


@dataclass(frozen=True, slots=True)
class CodeRun:
    """Code by the hash of its files, and which of a study's ended trials ran it: how many, and from which number to
    which.
    """

    code: str
    trials: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file that was complete, synced and hashed before its row was committed. `path` is relative to the checkpoint
    root.
    """

    study_id: int
    trial: int
    attempt: int
    step: int
    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Report:
    """One value of an attempt at one step, with the checkpoint that was written for it, if any."""

    step: int
    value: float
    metrics: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None
    at: datetime | None = None


IF_GIVEN = "if given"


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a study's spec says of running one of its trials; read by `celeriac.domain.study_file.run_plan`, once for
    each lease. `resources`: what a trial asks for. `keep_model`: "best", "all", IF_GIVEN
    (all, and none is missed that is not given), or "" where no model is kept. `api`, `command`, `learn_space`: as in
    `StudySpec`. `pack`: how many of them train in one process at most (0: the objective is given one trial, and no
    pack); `shape`: parameters in which those are alike.
    """

    objective: str
    code: str
    goal: Goal
    seed: int
    timeout_s: float | None
    retry_attempts: int
    resources: Resources
    labels: Mapping[str, str]
    stop_rule: StopRule | None
    keep_model: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)
    timezone: str = "UTC"
    api: str = ""
    command: str = ""
    learn_space: bool = False
    pack: int = 0
    shape: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run one attempt, and all that the runner needs for it. `checkpoints` come newest first, and last the
    one that an heir inherited. `fingerprint` is the study's. `seed`, where it is given, takes the place of the one that
    follows from `plan.seed` and the trial's number. `place`: of a gang's member, where it stands in the round; its
    token is that of its membership, and rank 0's that of the attempt as well. `memory_faults`: of the trial's attempts
    before, those that ran out of memory, in order. `placed`: what it holds of which devices, where it was placed.
    """

    token: str
    study_id: int
    study: str
    number: int
    attempt: int
    params: Params
    plan: RunPlan
    code_root: str
    slice: Mapping[str, Any]
    due_at: datetime | None
    faults: Mapping[str, int]
    checkpoints: tuple[Checkpoint, ...]
    lease_until: datetime
    source: Source = Source.SUGGESTED
    fingerprint: str = ""
    seed: int | None = None
    place: Place | None = None
    memory_faults: tuple[MemoryFault, ...] = ()
    placed: Placed | None = None

    @property
    def born_step(self) -> int:
        """The step of the checkpoint that it inherited from another trial; -1 where it did not."""
        return max((each.step for each in self.checkpoints if each.trial != self.number), default=-1)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a ticket did not become a lease. Nothing is wrong: the row, or the study, is elsewhere by now."""

    reason: str


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt that has not ended, with what the retry decision needs: for the reaper and the node.

    `has_progressed`: it has brought a checkpoint of a later step than all attempts before it. `packed`: how many trials
    its process was given.
    """

    token: str
    study_id: int
    study: str
    number: int
    attempt: int
    worker: str
    faults: Mapping[str, int]
    has_checkpoint: bool
    has_progressed: bool
    leased_at: datetime
    lease_s: float
    lease_until: datetime
    packed: int = 1

    @property
    def heard_s(self) -> float:
        """Seconds from its lease until it was last heard of, its part of them where several trials shared a process:
        what it is charged where nobody tells more.
        """
        return max((self.lease_until - self.leased_at).total_seconds() - self.lease_s, 0.0) / self.packed


@dataclass(frozen=True, slots=True)
class RunningAttempt:
    """An open attempt, with what a pre-emption looks at. `saved_at`: when its own newest checkpoint was written;
    `preempted_at`: when it was asked to hand itself back, and `preempted_before_at` an attempt of its trial before it.
    """

    token: str
    study_id: int
    study: str
    number: int
    attempt: int
    worker: str
    leased_at: datetime
    preempted_at: datetime | None
    preempted_before_at: datetime | None
    saved_at: datetime | None


@dataclass(frozen=True, slots=True)
class LetGo:
    """Which files of an ended trial nothing refers to any more."""

    number: int
    checkpoints: bool
    logs: bool
