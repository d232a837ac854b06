"""Half-open connections to Redis: what is sent on those there were is swallowed, and nobody says so, while new ones
work.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from celeriac.domain.records import TrialState
from celeriac.runtime.settings import Settings
from coordinator.reaper import resend
from tests.worker.conftest import Host, until


class Proxy:
    """A TCP door to Redis' socket. `swallow`: each connection that is there carries nothing more, in either direction,
    and stays open.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self._swallowed = threading.Event()
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow(self) -> None:
        """Cut the connections that there are."""
        before, self._swallowed = self._swallowed, threading.Event()
        before.set()

    def close(self) -> None:
        """Close the door and every connection."""
        for each in (self._door, *self._ends):
            _shut(each)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._door.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._path)
            self._ends += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_carry, args=(source, sink, self._swallowed), daemon=True).start()


def _shut(end: socket.socket) -> None:
    """Close a socket also under a thread that waits for it."""
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


def _carry(source: socket.socket, sink: socket.socket, swallowed: threading.Event) -> None:
    """Carry bytes one way. Once swallowed, they are read and forgotten, and an end of one side is not told to the
    other.
    """
    try:
        while data := source.recv(65_536):
            if not swallowed.is_set():
                sink.sendall(data)
        if not swallowed.is_set():
            sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture
def proxy(settings: Settings) -> Iterator[Proxy]:
    made = Proxy(settings.broker_url.removeprefix("redis+socket://").partition("?")[0])
    yield made
    made.close()


@pytest.fixture
def url(proxy: Proxy, settings: Settings) -> str:
    """The run's Redis database, through the proxy."""
    number = settings.broker_url.rpartition("=")[2]
    return f"redis://127.0.0.1:{proxy.port}/{number}"


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_a_worker_behind_half_open_connections_runs_what_is_sent_meanwhile(
    proxy: Proxy, url: str, start: Callable[..., Host], tmp_path: Path, busy: bool
) -> None:
    host = start(CELERIAC_BROKER_URL=url)
    study = host.study("attempts:waits_for_a_file")
    files = {"file": str(tmp_path / "go"), "running": str(tmp_path / "running")}
    first = host.send(study, files)
    until((tmp_path / "running").exists)
    if not busy:
        (tmp_path / "go").write_text("")
        until(lambda: host.is_(first, TrialState.SCORED))
    proxy.swallow()
    second = host.send(host.store.study(study.id), files)
    (tmp_path / "go").write_text("")
    until(lambda: host.is_(first, TrialState.SCORED))

    def ran() -> bool:
        """The coordinator's clock ticks: a ticket that went down a dead connection is sent again."""
        resend(host.store, host.tickets)
        return host.is_(second, TrialState.SCORED)

    until(ran, within_s=90)
    third = host.send(host.store.study(study.id), files)
    until(lambda: host.is_(third, TrialState.SCORED))
    for ticket in (first, second, third):
        assert len(host.store.attempts(ticket.study, ticket.trial)) == 1
