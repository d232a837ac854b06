"""`python -m coordinator.outbox.program FD PARENT`: a process that makes the deliveries which are due, and ends.

Storage and hooks may hang or fail for as long as they like: they hold up this process and nothing else. It can be
killed at any moment; what it had claimed is tried again. The first thing it is told, over the socket FD, is its setup,
so that no argument and no environment carries a password.
"""

import logging
import sys
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any

from celeriac.domain.errors import TryAgain
from celeriac.runtime import logs
from celeriac.runtime.artefacts import open_artefacts
from celeriac.runtime.process.companion import Companion, Gone
from celeriac.runtime.process.linux import die_with_parent
from celeriac.runtime.process.secrets import environment_without
from celeriac.runtime.settings import Settings, inherited, secret_named
from celeriac.store import Store, open_store
from coordinator.outbox.deliver import deliver
from coordinator.outbox.outside import Outside

log = logging.getLogger(__name__)

PIPE_S = 5.0
#: A process that has been at it for so long is ended, whatever it waits for.
MOST_S = 3600.0


@dataclass(slots=True)
class Deliverer:
    """Has the deliveries made, in a process that is started where something is due. Nothing here waits for it."""

    settings: Settings
    _process: Companion | None = None
    _since: float = field(default=0.0)

    def tick(self, store: Store) -> None:
        """Start the process if something is due and none is at it. Raises StoreUnavailable."""
        if self._process is not None and not self._is_over(self._process):
            return
        self._process = None
        if not store.due_deliveries(limit=1):
            return
        process = Companion([sys.executable, "-P", "-m", "coordinator.outbox.program"], pipe_s=PIPE_S)
        try:
            process.send(self.settings)
        except Gone as gone:
            log.warning("the process that publishes %s; the next tick tries again", gone)
            process.end()
            return
        self._process, self._since = process, monotonic()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def _is_over(self, process: Companion) -> bool:
        """Whether it has ended, or is ended now."""
        try:
            process.receive()
        except TimeoutError:
            if monotonic() - self._since < MOST_S:
                return False
            log.warning("the process that publishes took longer than %g s and is ended", MOST_S)
        except Gone as gone:
            log.warning("the process that publishes %s", gone)
        process.end(1.0)
        return True


def main(argv: list[str]) -> int:
    """Make what is due, say how much, and end."""
    descriptor, parent = map(int, argv)
    die_with_parent(parent)
    connection: Connection[Any, Any] = Connection(descriptor)
    settings: Settings = connection.recv()
    text = "%(asctime)s %(levelname)s %(name)s: %(message)s [deliveries]"
    logs.set_up(settings.log_format, "deliveries", text=text)
    store = open_store(settings.database_url)
    try:
        connection.send(deliver(store, _outside(settings)))
    except TryAgain as error:
        log.warning("nothing more is published for now: %s", error)
        connection.send(0)
    finally:
        store.close()
    return 0


def _outside(settings: Settings) -> Outside:
    kept = environment_without(inherited({}), -1, "NODE_KEY")
    return Outside(
        artefacts=lambda: open_artefacts(settings.artefact_root),
        code_root=settings.code_root,
        environment={name: value for name, value in kept.items() if name != "CELERIAC_SECRETS_FD"},
        secret_of=secret_named,
        hook_commands=settings.hook_commands,
        smtp_url=settings.smtp_url,
        mail_from=settings.mail_from,
        call_local=settings.call_local,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
