"""What a slot makes of trials that ran out of memory: whether one may run here, and what follows when one did."""

import logging

from celeriac.decide.memory import MemoryDecision, after_memory, other_kinds
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.records import Fault, Lease, MemoryFault
from celeriac.store.api import AttemptEnd
from worker.attempt.context import WorkerContext

log = logging.getLogger(__name__)

#: One that was placed on the wrong kind waits so long before it is placed again: the fleet has changed since.
WAIT_S = 5.0


class BarredHere(Exception):
    """These parameters ran out of memory on this kind of device, and nothing about them has changed."""


def check_kind(lease: Lease, context: WorkerContext) -> None:
    """Look before a process is started: at this slot's device, and at those of a gang's other members. Raises
    BarredHere.
    """
    peers = lease.place.peers if lease.place else ()
    here = sorted({context.slot.kind, *(each.kind for each in peers)} & set(after_memory(lease.memory_faults).barred))
    if here:
        raise BarredHere(f"trial {lease.number} ran out of memory on {' and '.join(here)} before")


def after_this(lease: Lease, micro_batch: int | None, kind: str, context: WorkerContext) -> tuple[MemoryDecision, bool]:
    """What follows now that this attempt ran out of memory too, on that kind of device, and whether there is another
    kind for it.
    """
    decision = after_memory((*lease.memory_faults, MemoryFault(kind, micro_batch)))
    return decision, not decision.smaller and _has_roomier(lease, decision, context)


def not_here(lease: Lease, reason: str, context: WorkerContext) -> AttemptEnd:
    """How an attempt ends that must not run on this kind of device: given back at no charge, or, where no other kind
    is alive, as what it is, infeasible.
    """
    if not _has_roomier(lease, after_memory(lease.memory_faults), context):
        detail = f"{reason}, and no device of another kind is there"
        return AttemptEnd(AttemptEvent.FAULT, TrialEvent.FAIL, fault=Fault.OUT_OF_MEMORY, detail=detail)
    context.left_to_others.leave_trial(lease, reason)
    goes_on = TrialEvent.PARK if lease.checkpoints else TrialEvent.RETRY
    detail = f"not run on {context.settings.host}: {reason}"
    return AttemptEnd(AttemptEvent.RELEASE, goes_on, detail=detail, wait_s=WAIT_S if lease.placed else 0.0)


def _has_roomier(lease: Lease, decision: MemoryDecision, context: WorkerContext) -> bool:
    """Only GPUs differ in kind; a trial that runs on the processor has the host's memory wherever it runs."""
    asked = lease.plan.resources
    if not asked.on_gpu:
        return False
    try:
        return other_kinds(decision.barred, asked, context.store.live_gpus(asked.gpu_memory_bytes)).is_left
    except Exception as error:  # whatever Postgres answers, the slot goes on
        log.warning("whether there are other kinds of devices is not known: %s", error)
        return False
