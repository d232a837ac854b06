"""What one pool process works with: made after the fork, kept until the process ends."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from celeriac.domain.messages import TrialEnded
from celeriac.domain.records import Lease
from celeriac.runtime.artefacts import CHECKPOINTS, opened_later
from celeriac.runtime.broker import DRIVE_QUEUE, Tickets
from celeriac.runtime.fingerprint import FingerprintCache
from celeriac.runtime.settings import Settings
from celeriac.store import Store
from worker.attempt.checkpoints import Storage
from worker.attempt.control import Control
from worker.attempt.heartbeat import LeaseKeeper
from worker.attempt.janitor import ASIDE_S, Janitor
from worker.attempt.left_to_others import LeftToOthers
from worker.attempt.logs import AttemptLog
from worker.attempt.result_writer import ResultWriter
from worker.attempt.wakeup import Wakeup
from worker.devices.probe import NvmlProbe, Probe, Slot
from worker.devices.simulated import probe_of
from worker.process.environment import scrubbed
from worker.process.limits import Limits
from worker.process.pool import ServerPool
from worker.process.scratch import slot_scratch
from worker.process.server_handle import Code


@dataclass(frozen=True, slots=True)
class GangCode:
    """What a slot runs for a gang: of which study, with which code, and whether the gang may go on without this
    slot.
    """

    study: int
    is_elastic: bool
    code: Code


@dataclass(slots=True)
class WorkerContext:
    """The tools of the runner. `studies`: those whose code was found here before. `warming`: what the process before
    this one ran for a gang when it died, until this slot has had a part in one.

    Of the process' connections the runner and the result writer use one between them, never at the same time; another
    is for the lease's keeper. The announcer sends messages, the log writer writes
    files, the janitor deletes them: none of them asks the store.
    """

    settings: Settings
    slot: Slot
    store: Store
    tickets: Tickets
    control: Control
    servers: ServerPool
    wakeup: Wakeup
    lease_keeper: LeaseKeeper
    results: ResultWriter
    announcer: Janitor
    log_writer: Janitor
    janitor: Janitor
    memory_limit_bytes: int | None
    checkpoint_storage: Storage = None
    fingerprints: FingerprintCache = field(default_factory=FingerprintCache)
    studies: set[int] = field(default_factory=set)
    left_to_others: LeftToOthers = field(default_factory=LeftToOthers)
    warming: GangCode | None = None
    probe: Probe = field(default_factory=lambda: NvmlProbe(None))

    def open_log(self, lease: Lease, rank: int = 0) -> AttemptLog:
        """What this lease's attempt prints; `rank`: of a gang's member, which has a file of its own."""
        return AttemptLog(
            self.settings.log_root,
            lease.study_id,
            lease.number,
            lease.attempt,
            writer=self.log_writer,
            file_bytes=self.settings.log_file_bytes,
            tail_bytes=self.settings.log_tail_bytes,
            rank=rank,
        )

    def announce(self, ended: TrialEnded, summary: str) -> None:
        """Tell the coordinator, soon; a tick heals what is lost."""
        self.announcer.put(
            f"telling the coordinator of {summary}",
            lambda: self.tickets.send(ended, queue=DRIVE_QUEUE, summary=summary),
            in_s=ASIDE_S,
        )

    def close(self) -> None:
        """End every process below this one, then the threads and the connections."""
        self.servers.close()
        self.results.close()
        self.lease_keeper.close()
        for each in (self.announcer, self.log_writer, self.janitor):
            each.close()
        self.store.close()


def open_context(
    settings: Settings, slot: Slot, *, store: Store, tickets: Tickets, control: Control, environ: Mapping[str, str]
) -> WorkerContext:
    """Set up in the process that will run the trials."""
    wakeup = Wakeup()
    lease_s, heartbeat_s = settings.lease_s, settings.heartbeat_s
    return WorkerContext(
        settings=settings,
        slot=slot,
        store=store,
        tickets=tickets,
        control=control,
        servers=ServerPool(
            environment=scrubbed(environ, {**slot.environment, "CELERIAC_STACK": settings.stack}),
            tag=tag_of(settings, slot.name),
            idle_s=settings.idle_server_s,
            limits=Limits(settings.trial_tasks, settings.trial_memory_bytes),
            scratch=slot_scratch(tag_of(settings, slot.name)),
        ),
        wakeup=wakeup,
        lease_keeper=LeaseKeeper(store, wakeup, lease_s=lease_s, heartbeat_s=heartbeat_s),
        results=ResultWriter(store, wakeup, lease_s=lease_s, heartbeat_s=heartbeat_s),
        announcer=Janitor("announcer"),
        log_writer=Janitor("log-writer"),
        janitor=Janitor("janitor"),
        memory_limit_bytes=memory_limit_bytes(),
        checkpoint_storage=storage_of(settings),
        probe=probe_of(settings.simulated_gpus),
    )


def storage_of(settings: Settings) -> Storage:
    """Where checkpoints are kept, if that is not the directory that trials write to."""
    return opened_later(settings.checkpoints, CHECKPOINTS) if settings.checkpoints else None


def tag_of(settings: Settings, worker: str) -> str:
    """The mark of all processes that trials of this worker start: alike after a restart, and another one for another
    home.
    """
    return f"{settings.home}:{worker}"


def memory_limit_bytes() -> int | None:
    """How much memory this cgroup may use, if it is limited."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            limit = int(Path(path).read_text())
            return limit if limit < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") else None
    return None
