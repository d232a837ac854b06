"""A gang waits for each of its slots: one whose process died imports the objective while its worker starts, and not
when the round has begun.

What a slot runs for a gang is noted beside its logs while it does. Who finds such a note was not there when it ended:
it starts a fork server for that code at once. A gang that may be smaller does not wait for it at all.
"""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from celeriac.domain.messages import JoinGang
from celeriac.domain.records import Lease
from celeriac.runtime.settings import Settings
from worker.attempt.context import GangCode, WorkerContext
from worker.attempt.job import CodeDiffers, code_of
from worker.process.server_handle import Code

log = logging.getLogger(__name__)

LOOK_S = 0.1


@contextmanager
def noted(lease: Lease, context: WorkerContext) -> Iterator[None]:
    """What this slot runs is noted for the block; a directory that cannot be written to costs only the warm start."""
    path, asked = _path(context.settings, context.slot.name), lease.plan.resources
    with suppress(CodeDiffers, OSError):
        note = GangCode(lease.study_id, asked.least < asked.members, code_of(lease, context))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(note)))
    try:
        yield
    finally:
        context.warming = None
        with suppress(OSError):
            path.unlink(missing_ok=True)


def warm_up(context: WorkerContext) -> GangCode | None:
    """Start a fork server for what this slot ran when it died, if it did; what that was."""
    path = _path(context.settings, context.slot.name)
    try:
        found = json.loads(path.read_text())
        path.unlink()
        code = Code(**found.pop("code"))
        note = GangCode(code=code, **found)
        root = Path(code.root).resolve()
        if not root.is_relative_to(context.settings.code_root.resolve()):
            return None
        if context.fingerprints.of(root, time.monotonic(), afresh=True) != code.fingerprint:
            return None
        context.servers.warm(code)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.warning("what this slot ran is not known: %s", error)
        return None
    log.info("%s is imported again while this worker starts", code.objective)
    return note


def await_warm(ticket: JoinGang, context: WorkerContext) -> None:
    """Let a gang that may be smaller begin without this slot, as long as its import is not over."""
    note, deadline = context.warming, time.monotonic() + context.settings.import_s
    if note is None or note.study != ticket.study or not note.is_elastic:
        return
    while not context.servers.is_warm(note.code) and time.monotonic() < deadline and not context.control.stopped():
        context.control.pause(LOOK_S)
    context.warming = None


def _path(settings: Settings, slot: str) -> Path:
    return settings.log_root / f"gang-{slot.replace('/', '_')}.json"
