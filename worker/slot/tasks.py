"""The worker's one Celery task, of a few lines: it decodes the ticket and calls the runner."""

from typing import Any

from celery import shared_task

from celeriac.domain.errors import MessageInvalid
from celeriac.domain.messages import JoinGang, RunTrial, decode
from celeriac.runtime.broker import RUN_TASK
from celeriac.runtime.logs import about
from worker.attempt.context import WorkerContext
from worker.attempt.gang import take_part
from worker.attempt.run import run

_context: WorkerContext | None = None


def use(context: WorkerContext | None) -> None:
    """Give this pool process its tools; `worker.slot.celery_worker` does, after the fork."""
    global _context
    _context = context


@shared_task(name=RUN_TASK)
def run_trial(message: Any) -> str:
    """Run the attempt that the ticket names. A ticket of another kind is an error and is dropped."""
    ticket = decode(message)
    if not isinstance(ticket, RunTrial | JoinGang) or _context is None:
        raise MessageInvalid(f"ticket {ticket.kind} is none for a worker's pool process; it is dropped")
    with about(whole_process=True, study=ticket.study, trial=ticket.trial, attempt=ticket.attempt):
        summary = take_part(ticket, _context) if isinstance(ticket, JoinGang) else run(ticket, _context)
    if _context.control.terminated:
        # Celery has marked this process as one that a signal ends: it must not live on and be taken for it later.
        raise SystemExit(0)
    return summary
