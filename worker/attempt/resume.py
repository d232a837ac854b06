"""Where an attempt goes on: the newest checkpoint of its trial that is sound, and what was reported until there."""

import time

from celeriac.domain.errors import TryAgain
from celeriac.domain.records import Checkpoint, Report
from celeriac.runtime.artefacts import ArtefactsUnavailable
from worker.attempt import checkpoints
from worker.attempt.classify import Cut
from worker.attempt.control import Unanswered
from worker.attempt.early_stop import pruner_of
from worker.attempt.run_state import Run
from worker.attempt.store_retry import StoreRetry, UntilStopped
from worker.attempt.uploads import AGAIN_S
from worker.process.events import Exit

# How long reading a trial's checkpoints, to hash them, may take: tens of gigabytes from a slow disk.
READ_S = 900.0
# How long a slot waits for a storage that is away, before it takes another trial.
AWAY_S = 20.0


def resume(attempt: Run) -> None:
    """Choose the newest checkpoint whose hash holds; if there are only unsound ones, start over and say so."""
    attempt.pruner = pruner_of(attempt.lease)
    root, control = attempt.context.settings.checkpoint_root, attempt.context.control
    if not attempt.lease.checkpoints:
        return
    try:
        attempt.resumed, refused = found(attempt)
    except Unanswered as error:
        if control.stopped():
            attempt.cut = Cut.DRAIN if control.draining() else Cut.REVOKED
        attempt.has_checkpoint = True
        attempt.exit = Exit(lost=f"the checkpoints in {root} could not be read: {error}")
        return
    for reason in refused:
        attempt.log.note(reason)
    if attempt.resumed is None:
        attempt.notes.append("no checkpoint of an earlier attempt is sound: started over")
        attempt.log.note(attempt.notes[-1])
    else:
        attempt.has_checkpoint, attempt.last_step = True, attempt.resumed.step
        if attempt.pruner is not None:
            attempt.pruner.resume(reports_before(attempt, attempt.resumed.step))


def found(attempt: Run) -> tuple[Checkpoint | None, list[str]]:
    """The checkpoint to go on from, and what is wrong with newer ones. A storage that is away is asked again for a
    while. Raises Unanswered, ArtefactsUnavailable.
    """
    context, before = attempt.context, attempt.lease.checkpoints
    root, storage = context.settings.checkpoint_root, context.checkpoint_storage
    until = time.monotonic() + AWAY_S
    while True:
        try:
            return context.control.in_time(lambda: checkpoints.newest_sound(before, root, storage), within_s=READ_S)
        except ArtefactsUnavailable:
            if time.monotonic() >= until or context.control.stopped():
                raise
            context.control.pause(AGAIN_S)


def reports_before(attempt: Run, step: int) -> list[Report]:
    """What earlier attempts reported up to this step; a store that is away is waited for, unless the worker is told to
    stop.
    """
    context, lease = attempt.context, attempt.lease
    retry = StoreRetry(attempt.name, UntilStopped(context.control, grace_s=0.0))
    try:
        found = retry(lambda: context.store.own_reports(lease.token))
    except TryAgain:
        return []
    return [report for report in found if report.step <= step]
