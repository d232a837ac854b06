"""The store alone: the Postgres of a home where no stack runs, for whoever reads what its studies came to.

Promises: it makes nothing and changes nothing; it ends a few seconds after the last reader, also after one that was
killed; a stack that is started meanwhile has it end at once, when those who read have read.
"""

import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep

from celeriac.domain.errors import StackError, StackRuns
from celeriac.local.home import Home, write_private
from celeriac.local.postgres import Postgres
from celeriac.local.server import leave_runtime_dir, runtime_dir
from celeriac.runtime.process.supervisor import Supervisor
from celeriac.runtime.settings import PREFIX, Settings

IDLE_S = 3.0
LOOK_S = 0.5
STOP_S = 20.0
READERS_S = 10.0  # so long those who read may go on when a stack wants to start


def store_alone(settings: Settings, ready: Callable[[], None], say: Callable[[str], None]) -> int:
    """Run it until nobody reads; `ready` is called when it can be read. Raises StackError: a stack, or another one,
    runs here.
    """
    home = Home(settings.home)
    if not settings.has_store:
        raise StackError(f"there is no store under {home.root}: `celeriac up` makes one")
    home.make()
    lock = home.lock("store")
    supervisor = Supervisor(say)
    supervisor.catch(signal.SIGINT, signal.SIGTERM)
    marked = {PREFIX + "STACK": home.tag}
    postgres = Postgres(
        home.root / "postgres", runtime_dir(home.root), log=home.logs / "postgres.log", environment=marked, say=say
    )
    try:
        postgres.init()
        supervisor.keep(postgres.child, is_server=True)
        postgres.child.wait_ready()
        _publish(settings, postgres)
        ready()
        idle = _Idle(settings, home, postgres)
        supervisor.run(until=idle, every_s=LOOK_S)
        settings.store_file.unlink(missing_ok=True)
        if not idle.over:  # else whoever comes now has no address, and waits for this store to end
            _let_them_read(home)
    finally:
        settings.store_file.unlink(missing_ok=True)
        supervisor.stop(lambda _: STOP_S)
        leave_runtime_dir(postgres.runtime_dir)
        os.close(lock)
    return 0


def lock_for_stack(home: Home) -> int:
    """Hold the home for a stack that is to start. A store that runs alone ends first, whether it has just begun, is
    read, or is ending by itself. Raises StackError: another stack runs here, or the store does not end.
    """
    until = monotonic() + READERS_S + STOP_S
    while True:
        make_way(home)
        try:
            return home.lock()
        except StackRuns:
            # Another reader's store may have come first; a look at the lock, or a holder's fork, holds it a moment.
            if monotonic() > until or (_stays(home) and not home.holder("store")):
                raise
        sleep(0.05)


def _stays(home: Home) -> bool:
    """Whether the stack on this home goes on until somebody stops it; one that ends when idle is waited for."""
    with suppress(OSError, ValueError):
        return not json.loads((home.run / "stack.json").read_text())["idle_exit"]
    return False


def make_way(home: Home) -> None:
    """Have a store that runs alone under this home end; returns when it has, or does not."""
    until = monotonic() + READERS_S + STOP_S
    pid = home.holder("store")  # by the lock, not by its address: one that begins or ends has none
    if pid is None:
        return
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    while home.holder() == pid and monotonic() < until:
        sleep(0.05)  # a lock that others hold has no descriptor to wait on


def _publish(settings: Settings, postgres: Postgres) -> None:
    write_private(settings.store_file, {"pid": os.getpid(), "database_url": postgres.dsn})


def _let_them_read(home: Home) -> None:
    until = monotonic() + READERS_S
    while home.somebody_looks_on("readers") and monotonic() < until:
        sleep(0.05)


class _Idle:
    """Whether nobody has read for a while. Its address is taken back before the last look, so that no reader is left
    with it.
    """

    def __init__(self, settings: Settings, home: Home, postgres: Postgres) -> None:
        self._settings, self._home, self._postgres = settings, home, postgres
        self._since = monotonic()
        self.over = False

    def __call__(self) -> bool:
        if self._home.somebody_looks_on("readers"):
            self._since = monotonic()
        if monotonic() - self._since < IDLE_S:
            return False
        self._settings.store_file.unlink(missing_ok=True)
        if not self._home.somebody_looks_on("readers"):
            self.over = True
            return True
        _publish(self._settings, self._postgres)
        return False
