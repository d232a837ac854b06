"""Which checkpoints of a trial stay: the best and the last two while it lives, none once it has ended. Rows go first,
then files.

The rows are deleted by whoever writes the attempt's results, the files by the janitor: a directory that does not
answer holds up neither. A file whose row is gone and that was not deleted costs its space only.
"""

import math
from collections.abc import Sequence

from celeriac.domain.records import Checkpoint, Lease, Report
from worker.attempt import checkpoints
from worker.attempt.context import WorkerContext


class Retention:
    """One attempt's, for one thread at a time: the result writer's while the trial runs, then the runner's."""

    def __init__(self, context: WorkerContext, lease: Lease) -> None:
        self._context, self._lease = context, lease
        self._values: dict[int, float] = {}

    def saved(self, reports: Sequence[Report], rows: Sequence[Checkpoint]) -> None:
        """Reports with checkpoints landed, and these are the trial's checkpoints now: keep few. Raises TryAgain."""
        self._values.update({each.step: each.value for each in reports if each.checkpoint is not None})
        doomed = checkpoints.doomed(rows, self._best_step(rows))
        if doomed:
            lease, root = self._lease, self._context.settings.checkpoint_root
            self._context.store.forget_checkpoints(lease.token, [each.path for each in doomed])
            self._context.janitor.put(
                f"deleting {len(doomed)} checkpoints of {lease.study} trial {lease.number} in {root}",
                lambda: checkpoints.delete(doomed, root),
            )

    def forget_all(self) -> None:
        """All, if the trial has ended. Raises TryAgain; then rows and files stay until the study is pruned."""
        lease, store, root = self._lease, self._context.store, self._context.settings.checkpoint_root
        if not store.drop_checkpoints(lease.token):
            return
        self._context.janitor.put(
            f"deleting the checkpoints of {lease.study} trial {lease.number} in {root}",
            lambda: checkpoints.remove(root, lease.study_id, lease.number),
        )

    def _best_step(self, rows: Sequence[Checkpoint]) -> int | None:
        """The step of the best value among checkpoints; what earlier attempts reported is read once, when it is
        needed.
        """
        lease, values = self._lease, self._values
        if any(row.step not in values for row in rows):
            before = self._context.store.own_reports(lease.token)
            values.update({each.step: each.value for each in before if each.step not in values})
        sign = 1.0 if lease.plan.goal == "maximize" else -1.0
        scored = [(sign * values[row.step], row.step) for row in rows if math.isfinite(values.get(row.step, math.nan))]
        return max(scored)[1] if scored else None
