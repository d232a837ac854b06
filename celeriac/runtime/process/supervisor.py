"""Keeps children alive. Waits on their pidfds, on signals and on the time of the next restart; never polls.

What dies is started again after a back-off. A child that dies again and again right after its start is given up
(`StackDied`), with the tail of its log, unless a server that it needs was away at the time, or its keeper never gives
up (`on_death`).
"""

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from celeriac.domain.errors import StackDied, StackError
from celeriac.runtime.process.programs import Backoff, Child

EARLY_S = 2.0
EARLY_DEATHS = 5

Say = Callable[[str], None]
#: The child's name and its exit status.
OnDeath = Callable[[str, int], None]


@dataclass
class Kept:
    """A child under supervision: it runs while `pidfd` is set, else it is due again at `restart_at`, or `rests`.

    While a server has lately died, the others' early deaths are not held against them.
    """

    child: Child
    is_server: bool = False
    backoff: Backoff = field(default_factory=Backoff)
    started: float = 0.0
    pidfd: int = -1
    restart_at: float | None = None
    early_deaths: int = 0
    rests: bool = False

    @property
    def runs(self) -> bool:
        """Whether it has not died, as far as the supervisor has heard."""
        return self.pidfd >= 0


class Supervisor:
    """Starts children, restarts what dies, and stops all: programs before servers."""

    def __init__(self, say: Say, on_death: OnDeath | None = None) -> None:
        """`on_death` is told of each death, before the child is due again; no child is given up then."""
        self._say, self._on_death = say, on_death
        self._kept: list[Kept] = []
        self._selector = selectors.DefaultSelector()
        self._signals: list[int] = []
        self._server_died = float("-inf")
        self._wakeup, self._waker = socket.socketpair()

    # -- signals ----------------------------------------------------------------------------------------------------
    def catch(self, *numbers: int) -> None:
        """From now on these signals end `run` (main thread only)."""
        self._wakeup.setblocking(False)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda caught, _: self._signals.append(caught))
        self._selector.register(self._wakeup, selectors.EVENT_READ, None)

    @property
    def asked_to_stop(self) -> int:
        """How many stop signals have come."""
        return len(self._signals)

    # -- children ---------------------------------------------------------------------------------------------------
    def keep(self, child: Child, *, is_server: bool = False, delay_s: float = 0.0) -> None:
        """Start a child, now or after a delay, and keep it alive from then on."""
        kept = Kept(child, is_server)
        self._kept.append(kept)
        if delay_s > 0:
            kept.restart_at = time.monotonic() + delay_s
        else:
            self._start(kept)

    def rest(self, names: Collection[str]) -> None:
        """Have these children, and no others, rest: they are told to stop, and are not started again until they are
        named no more.
        """
        for kept in self._kept:
            asked = kept.child.name in names
            if asked and not kept.rests:
                kept.restart_at = None
                if kept.runs:
                    kept.child.signal(kept.child.stop_signal)
            elif kept.rests and not asked and not kept.runs:
                kept.restart_at = time.monotonic()
            kept.rests = asked

    @property
    def kept(self) -> Sequence[Kept]:
        """The children, in the order in which they were given."""
        return self._kept

    def pids(self) -> Mapping[str, int | None]:
        """The children by name, with their process ids (None: being restarted)."""
        return {kept.child.name: kept.child.pid for kept in self._kept}

    def run(self, *, until: Callable[[], bool] | None = None, every_s: float = 2.0) -> None:
        """Supervise until a stop signal comes, or `until()`, asked every `every_s`, says so. Raises StackDied."""
        asked_at = time.monotonic()
        while not self._signals:
            now = time.monotonic()
            if until is not None and now >= asked_at + every_s:
                if until():
                    return
                asked_at = now = time.monotonic()
            self._restart_due(now)
            self._wait(self._patience_s(now, None if until is None else asked_at + every_s))

    def wait_for(self, descriptors: Mapping[int, str], timeout_s: float) -> None:
        """Wait until each of these descriptors has said a byte: the programs behind them are ready.

        Raises StackError, naming what is not ready and the tail of its log; children that die meanwhile are restarted.
        """
        missing = dict(descriptors)
        for descriptor in missing:
            self._selector.register(descriptor, selectors.EVENT_READ, descriptor)
        deadline = time.monotonic() + timeout_s
        try:
            while missing and not self._signals:
                now = time.monotonic()
                if now >= deadline:
                    raise StackError(self._not_ready(missing.values(), timeout_s))
                self._restart_due(now)
                for descriptor in self._wait(min(deadline - now, self._patience_s(now, None) or deadline - now)):
                    if descriptor in missing:
                        missing.pop(descriptor)
                        self._selector.unregister(descriptor)
        finally:
            for descriptor in missing:
                self._selector.unregister(descriptor)

    def stop(self, grace_s: Callable[[str], float], *, hurried_s: float = 2.0) -> None:
        """Stop all: the programs, then the servers that they need to the last. A further stop signal shortens every
        grace to `hurried_s`.

        The supervisor is spent then.
        """
        asked = len(self._signals)
        with suppress(ValueError):  # not the main thread: nothing was caught
            signal.set_wakeup_fd(-1)
        for servers in (False, True):
            layer = [kept for kept in reversed(self._kept) if kept.is_server is servers]
            self._stop_together(layer, grace_s, asked, hurried_s)
        self._kept.clear()
        self._selector.close()
        for end in (self._wakeup, self._waker):
            end.close()

    def _stop_together(
        self, layer: Sequence[Kept], grace_s: Callable[[str], float], asked: int, hurried_s: float
    ) -> None:
        since = time.monotonic()
        for kept in layer:
            self._forget(kept)
            kept.child.signal(kept.child.stop_signal)
        for child in (kept.child for kept in layer):
            deadline = since + grace_s(child.name)
            while time.monotonic() < deadline and not child.wait(0.2):
                if len(self._signals) > asked:
                    deadline = min(deadline, time.monotonic() + hurried_s)
            if not child.wait(0):
                self._say(f"{child.name} did not end within its grace and is killed")
            child.kill()

    # -- the loop's parts -------------------------------------------------------------------------------------------
    def _start(self, kept: Kept) -> None:
        kept.pidfd = kept.child.start()
        kept.started, kept.restart_at = time.monotonic(), None
        self._selector.register(kept.pidfd, selectors.EVENT_READ, kept)

    def _forget(self, kept: Kept) -> None:
        if kept.runs:
            self._selector.unregister(kept.pidfd)
            os.close(kept.pidfd)
            kept.pidfd = -1

    def _wait(self, timeout_s: float | None) -> list[int]:
        """Handle deaths and signals until something happens; returns the plain descriptors that became readable."""
        readable = []
        for key, _ in self._selector.select(timeout_s):
            if isinstance(key.data, Kept):
                self._died(key.data)
            elif isinstance(key.data, int):
                readable.append(key.data)
            else:
                with suppress(BlockingIOError):
                    self._wakeup.recv(64)
        return readable

    def _died(self, kept: Kept) -> None:
        status = kept.child.poll()
        if status is None:
            return
        lived_s = time.monotonic() - kept.started
        self._forget(kept)
        kept.child.kill()  # what it left in its process group
        if self._on_death is not None:
            self._on_death(kept.child.name, status)
        now = time.monotonic()
        if kept.rests:
            return
        if kept.is_server:
            self._server_died = now
        kept.backoff = kept.backoff.died(after_s=lived_s)
        kept.early_deaths = kept.early_deaths + 1 if lived_s < EARLY_S else 0
        kept.restart_at = now + kept.backoff.wait_s
        self._say(
            f"{kept.child.name} {_ended(status)} after {lived_s:.0f} s; starts again in {kept.backoff.wait_s:g} s"
        )
        if self._on_death is None and kept.early_deaths >= EARLY_DEATHS and now - self._server_died > 30:
            raise StackDied(f"{kept.child.name} keeps dying right after its start:\n{kept.child.log_tail()}")

    def _restart_due(self, now: float) -> None:
        for kept in self._kept:
            if kept.restart_at is not None and kept.restart_at <= now:
                self._start(kept)

    def _patience_s(self, now: float, asked: float | None) -> float | None:
        moments = [kept.restart_at for kept in self._kept if kept.restart_at is not None]
        if asked is not None:
            moments.append(asked)
        return max(0.0, min(moments) - now) if moments else None

    def _not_ready(self, names: Iterable[str], timeout_s: float) -> str:
        waiting = set(names)
        tails = [f"{k.child.name}:\n{k.child.log_tail()}" for k in self._kept if k.child.name in waiting]
        return f"not ready after {timeout_s:g} s: {', '.join(sorted(waiting))}\n" + "\n".join(tails)


def _ended(status: int) -> str:
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with {status}"
