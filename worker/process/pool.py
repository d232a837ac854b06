"""The fork servers of one slot.

pool = ServerPool(environment=scrubbed(os.environ, slot.environment), tag="gpu0.s0@host", idle_s=60)
child = pool.take(Code("/code", fingerprint, "train:objective"))
child.start(Job(...))
while child.ended is None:
    select([child, drain_pipe, ...])          # readable: `receive` has something
    for event in child.receive(): ...         # Started, Reported, Printed, ... and last of all Ended
child.close()
"""

import tempfile
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from worker.process.limits import Limits
from worker.process.scratch import remove
from worker.process.server_handle import Code, ServerHandle, SlotServers
from worker.process.trial_process import MARGIN_S, TrialProcess

_KEPT = 2
NO_LIMITS = Limits()


class ServerPool:
    """One trial at a time, the last two objectives kept warm."""

    def __init__(
        self,
        *,
        environment: Mapping[str, str],
        tag: str,
        idle_s: float,
        limits: Limits = NO_LIMITS,
        scratch: Path | None = None,
    ) -> None:
        """`environment` is what trials see (see `worker.process.environment`); `tag` marks every process of the slot.

        `scratch`: where trials have directories of their own, removed by `close`; None: somewhere new.
        """
        scratch = scratch or Path(tempfile.mkdtemp(prefix="celeriac-"))
        self._slot = SlotServers(environment, tag, idle_s, scratch, limits)
        self._servers: OrderedDict[Code, ServerHandle] = OrderedDict()
        self._closing: list[ServerHandle] = []
        self._trial: TrialProcess | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """What trials see."""
        return self._slot.environment

    def take(self, code: Code) -> TrialProcess:
        """A process for the next trial: a running server's standby, or that of one that starts now. Never waits."""
        if self._trial is not None and self._trial.ended is None:
            raise RuntimeError("the slot's trial before has not ended: `finish` it first")
        self._closing = [server for server in self._closing if not server.gone()]  # collects their exit status
        server = self._servers.get(code)
        if server is None or server.gone():
            server = self._replaced(code)
        self._servers.move_to_end(code)
        while len(self._servers) > _KEPT:
            self._retire(self._servers.popitem(last=False)[1])
        self._trial = TrialProcess(server, lambda: self._replaced(code))
        return self._trial

    def warm(self, code: Code) -> None:
        """Have a server for this code start now, whose trial comes later. Never waits."""
        if code not in self._servers:
            self._replaced(code)

    def is_warm(self, code: Code) -> bool:
        """Whether its server has come to the end of the import, well or not; also when there is none any more."""
        server = self._servers.get(code)
        return server is None or server.gone() or server.has_spoken()

    def finish(self) -> None:
        """Wait until no process of the slot's trial before is left; what takes longer than `FAREWELL_S` is killed."""
        if self._trial is not None:
            self._trial.close()
            self._trial = None

    def close(self) -> None:
        """End every server, and everything below them."""
        self.finish()
        while self._servers:
            self._retire(self._servers.popitem()[1])
        deadline = time.monotonic() + MARGIN_S
        for server in self._closing:
            server.finish(max(0.0, deadline - time.monotonic()))
        self._closing.clear()
        remove(self._slot.scratch)

    def __enter__(self) -> "ServerPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _replaced(self, code: Code) -> ServerHandle:
        """A server in the place of one that has ended, or none."""
        if code in self._servers:
            self._retire(self._servers.pop(code))
        self._servers[code] = ServerHandle(code, self._slot)
        return self._servers[code]

    def _retire(self, server: ServerHandle) -> None:
        server.close()
        self._closing.append(server)
