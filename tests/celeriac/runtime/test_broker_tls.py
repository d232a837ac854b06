"""TLS to Redis: a server that cannot prove who it is gets no ticket and no password."""

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

from celeriac.domain.errors import BrokerUnavailable
from celeriac.domain.messages import DriveStudy
from celeriac.runtime.broker import DRIVE_QUEUE, BrokerConfig, Tickets, make_app
from celeriac.runtime.settings import Settings

HERE = Path(__file__).parent / "tls"
CA = f"?ssl_ca_certs={HERE / 'ca.pem'}"


class BehindTls(socketserver.ThreadingTCPServer):
    """Redis with the certificate of localhost and 127.0.0.1, for which only `tls/ca.pem` vouches."""

    daemon_threads, block_on_close = True, False

    def __init__(self, path: str, host: str) -> None:
        super().__init__((host, 0), Carry)
        self.path = path
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(HERE / "server.pem")


class Carry(socketserver.BaseRequestHandler):
    """One connection, carried both ways until either side ends it."""

    server: BehindTls

    def handle(self) -> None:
        with (
            suppress(OSError),
            closing(self.server.context.wrap_socket(self.request, server_side=True)) as client,
            closing(socket.socket(socket.AF_UNIX)) as redis,
        ):
            redis.connect(self.server.path)
            back = threading.Thread(target=carry, args=(redis, client))
            back.start()
            carry(client, redis)
            back.join()


def carry(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    for each in (source, sink):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def served(settings: Settings) -> Iterator[Callable[[str], str]]:
    """The URL of Redis behind TLS, at this address."""
    path = settings.broker_url.removeprefix("redis+socket://").partition("?")[0]
    with ExitStack() as stack:
        yield lambda host: f"rediss://{host}:{stack.enter_context(serving(path, host))}/0"


@contextmanager
def serving(path: str, host: str) -> Iterator[int]:
    with BehindTls(path, host) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def send(url: str) -> int:
    """Send a ticket by this URL; how many wait then."""
    app = make_app(BrokerConfig(url, "test"))
    tickets = Tickets(app)
    try:
        tickets.send(DriveStudy(1), queue=DRIVE_QUEUE, summary="digits")
        return tickets.waiting(DRIVE_QUEUE)
    finally:
        app.pool.force_close_all()  # type: ignore[attr-defined]  # the stub takes it for a pool of producers
        app.close()


def test_a_certificate_that_nobody_vouches_for_is_refused(served: Callable[[str], str]) -> None:
    with pytest.raises(BrokerUnavailable, match="certificate"):
        send(served("127.0.0.1"))


def test_its_authority_vouches_for_it(served: Callable[[str], str]) -> None:
    assert send(served("127.0.0.1") + CA) >= 1


def test_a_certificate_of_another_host_is_refused(served: Callable[[str], str]) -> None:
    with pytest.raises(BrokerUnavailable, match="certificate"):
        send(served("127.0.0.2") + CA)


def test_only_the_url_itself_can_do_without(served: Callable[[str], str]) -> None:
    assert send(served("127.0.0.1") + "?ssl_cert_reqs=none") >= 1
