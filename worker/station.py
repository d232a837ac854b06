"""What one pool process works with: made after the fork, kept until the process ends."""

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from celeriac.broker import DRIVE_QUEUE, Tickets
from celeriac.code import FingerprintCache
from celeriac.messages import TrialEnded
from celeriac.settings import Settings
from celeriac.store import Store
from worker.devices import Slot
from worker.forkserver import ServerPool, TrialProcess, scrubbed
from worker.heartbeat import ASIDE_S, Heartbeat
from worker.orders import Orders
from worker.recorder import Recorder

# How long a trial's process may take, after its result, for what it left to be run at exit.
FAREWELL_S = 10.0


@dataclass(slots=True)
class Station:
    """The tools of the runner. `_leaving` is the last trial's process: its result is in, and nobody waits for its end."""

    settings: Settings
    slot: Slot
    store: Store
    tickets: Tickets
    orders: Orders
    servers: ServerPool
    heartbeat: Heartbeat
    recorder: Recorder
    memory_limit_bytes: int | None
    fingerprints: FingerprintCache = field(default_factory=FingerprintCache)
    code_roots: dict[int, Path] = field(default_factory=dict)
    _leaving: TrialProcess | None = None
    _clearing: threading.Lock = field(default_factory=threading.Lock)

    def leave(self, process: TrialProcess | None) -> None:
        """The trial's process has said its last word: it is seen off soon, or before the next trial begins if that has to wait for it."""
        self.clear()
        self._leaving = process
        self.heartbeat.after(self.clear, aside_s=ASIDE_S)

    def make_way(self) -> None:
        """Have nothing of the last trial in the next one's way: at most a spent process, which goes a moment later."""
        with self._clearing:
            aside = self._leaving is None or self._leaving.stand_aside()
        if not aside:
            self.clear()

    def clear(self) -> None:
        """Have the last trial's process gone, with all that it started: its device is free then."""
        with self._clearing:
            if self._leaving is not None:
                self._leaving.close(FAREWELL_S)
                self._leaving = None

    def announce(self, ended: TrialEnded, summary: str) -> None:
        """Tell the coordinator, soon; a tick heals what is lost."""

        def send() -> None:
            self.tickets.send(ended, queue=DRIVE_QUEUE, summary=summary)

        self.heartbeat.after(send, aside_s=ASIDE_S)

    def close(self) -> None:
        """Write the last end, end every process below this one, then the threads and the connections."""
        self.recorder.close(self.settings.checkpoint_grace_s)
        self.clear()
        self.servers.close()
        self.heartbeat.close()
        self.store.close()


def open_station(
    settings: Settings,
    slot: Slot,
    *,
    store: Store,
    tickets: Tickets,
    orders: Orders,
    environ: Mapping[str, str],
) -> Station:
    """Set up in the process that will run the trials."""
    return Station(
        settings=settings,
        slot=slot,
        store=store,
        tickets=tickets,
        orders=orders,
        servers=ServerPool(
            environment=scrubbed(environ, {**slot.environment, "CELERIAC_STACK": settings.stack}),
            tag=tag_of(settings, slot.name),
            idle_s=settings.idle_server_s,
        ),
        heartbeat=Heartbeat(store, lease_s=settings.lease_s, heartbeat_s=settings.heartbeat_s),
        recorder=Recorder(),
        memory_limit_bytes=memory_limit_bytes(),
    )


def tag_of(settings: Settings, worker: str) -> str:
    """The mark of all processes that trials of this worker start: alike after a restart, and another one for another home."""
    return f"{settings.home}:{worker}"


def memory_limit_bytes() -> int | None:
    """How much memory this cgroup may use, if it is limited."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            limit = int(Path(path).read_text())
            return limit if limit < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") else None
    return None
