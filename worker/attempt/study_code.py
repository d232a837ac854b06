"""The study's code on this host, looked at before each trial: files may change, or be gone, at any time."""

import time
from pathlib import Path

from celeriac.domain.records import Lease
from worker.attempt.context import WorkerContext
from worker.attempt.job import CodeDiffers, located
from worker.process.server_handle import Code


def code_of(lease: Lease, context: WorkerContext, *, afresh: bool = False) -> Code:
    """Where it lies, and its fingerprint. Raises CodeDiffers.

    Files are looked at afresh when the study is new to this slot, and before its code is called another.
    """
    afresh = afresh or lease.study_id not in context.studies

    def look(root: Path) -> str:
        return context.fingerprints.of(root, time.monotonic(), afresh=afresh)

    try:
        root, fingerprint = located(lease, context.settings.code_root, look)
    except CodeDiffers:
        if afresh:
            raise
        return code_of(lease, context, afresh=True)
    context.studies.add(lease.study_id)
    return Code(str(root), fingerprint, lease.plan.objective)
