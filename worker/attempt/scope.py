"""What an attempt works with while it runs, and what becomes of it when something of ours goes wrong.

Rule: whatever happens in the block, no process and no open lease of the attempt is left behind.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from celeriac.decide.gang import BEAT_S
from celeriac.domain.errors import CeleriacError, LeaseLost, ValueRefused
from celeriac.domain.messages import RunTrial
from celeriac.domain.records import Checkpoint, Lease
from celeriac.runtime.artefacts import ArtefactsUnavailable
from worker.attempt import checkpoints
from worker.attempt.conclude import give_back, give_up, leave_kind, put_off, refuse_study, refuse_value, step_aside
from worker.attempt.context import WorkerContext
from worker.attempt.heartbeat import KeptLease
from worker.attempt.job import CodeDiffers
from worker.attempt.logs import AttemptLog
from worker.attempt.membership import Membership
from worker.attempt.memory import BarredHere
from worker.attempt.result_writer import Results
from worker.attempt.run_state import Run
from worker.attempt.uploads import Listeners, Uploads
from worker.process.trial_process import FAREWELL_S

log = logging.getLogger(__name__)


@contextmanager
def attempt_scope(
    ticket: RunTrial, lease: Lease, context: WorkerContext, membership: Membership | None = None
) -> Iterator[Run]:
    """The attempt's log, its lease and its results; leaves no process and no open lease behind, also when we fail
    ourselves.
    """
    keeper = context.lease_keeper
    kept = keeper.keep_otherwise(membership.renew, BEAT_S) if membership is not None else keeper.keep(lease.token)
    with opened(ticket, lease, context, kept, membership=membership) as attempt:
        try:
            with handle_failures(attempt):
                yield attempt
        except BaseException:
            end_process(attempt)
            raise


@contextmanager
def opened(
    ticket: RunTrial,
    lease: Lease,
    context: WorkerContext,
    kept: KeptLease,
    *,
    membership: Membership | None = None,
    sharers: int = 1,
) -> Iterator[Run]:
    """What an attempt works with, its lease `kept` by the caller; closed in the end. `sharers`: all of its pack."""
    output = context.open_log(lease)
    root, storage = context.settings.checkpoint_root, context.checkpoint_storage
    retention = checkpoints.Retention(lease, context.store, context.janitor, root, storage)
    results = context.results.open(lease.token, tail=output.changed_tail, saved=retention.saved, sharers=sharers)
    uploads = None if storage is None else Uploads(storage, root, listeners_of(context, results, output))
    attempt = Run(context, ticket, lease, output, kept, results, retention, membership, uploads)
    try:
        yield attempt
    finally:
        if uploads is not None:
            uploads.leave()
        context.results.leave(results)
        context.lease_keeper.leave(kept)
        output.close()
        if attempt.process is not None:
            attempt.process.farewell(FAREWELL_S)


def listeners_of(context: WorkerContext, results: Results, output: AttemptLog) -> Listeners:
    """What becomes of checkpoints that were copied to the storage, or left out: a row, a line in the log, files that
    go.
    """
    root = context.settings.checkpoint_root

    def left_out(checkpoint: Checkpoint) -> None:
        context.janitor.put(f"deleting {checkpoint.path}", lambda: checkpoints.delete([checkpoint], root))

    return Listeners(lambda report: context.results.report(results, report), output.note, left_out)


@contextmanager
def handle_failures(attempt: Run) -> Iterator[None]:
    """Answer for what goes wrong in the block: an attempt that has lost its lease steps aside, our own failure hands
    it back.
    """
    try:
        yield
    except ArtefactsUnavailable as error:
        put_off(attempt, str(error))
    except CeleriacError as error:
        end_process(attempt)
        if isinstance(error, LeaseLost):
            step_aside(attempt, error)
        elif isinstance(error, ValueRefused):
            refuse_value(attempt, error)
        else:
            give_up(attempt, error)
    except BarredHere as error:
        end_process(attempt)
        leave_kind(attempt, str(error))
    except CodeDiffers as error:
        end_process(attempt)
        refuse_study(attempt, str(error))
    except Exception as error:
        log.exception("%s: the runner failed", attempt.name)
        end_process(attempt)
        give_back(attempt, f"the runner failed: {type(error).__name__}: {error}")


def end_process(attempt: Run) -> None:
    """Leave no process of an attempt that came to no end of its own."""
    if attempt.process is not None:
        attempt.process.kill(0.0)
