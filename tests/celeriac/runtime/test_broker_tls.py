"""TLS to Redis: a server that cannot prove who it is gets no ticket and no password. The error names the
setting.
"""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from celeriac.domain.errors import SettingInvalid
from celeriac.domain.messages import DriveStudy
from celeriac.runtime.broker import DRIVE_QUEUE, BrokerConfig, Tickets, make_app
from celeriac.runtime.settings import Settings
from tests.tls import Authority, behind_tls

NAMED = "Redis does not prove who it is .*ssl_ca_certs in CELERIAC_BROKER_URL.*"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def served(settings: Settings, authority: Authority) -> Iterator[Callable[[str], str]]:
    """The URL of Redis behind TLS, at this address."""
    path = settings.broker_url.removeprefix("redis+socket://").partition("?")[0]
    certificate = authority.issue("localhost", "127.0.0.1")
    with ExitStack() as stack:
        yield lambda host: f"rediss://{host}:{stack.enter_context(behind_tls(path, certificate, host))}/0"


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


def test_who_cannot_prove_who_it_is_is_refused(
    served: Callable[[str], str], authority: Authority, tmp_path: Path
) -> None:
    """Nobody vouches for it; another authority would have to; it is another host. All at once: the client tries for
    seconds.
    """
    stranger = Authority(tmp_path, "another").ca
    urls = [
        served("127.0.0.1"),
        f"{served('127.0.0.1')}?ssl_ca_certs={stranger}",
        f"{served('127.0.0.2')}?ssl_ca_certs={authority.ca}",
    ]
    with ThreadPoolExecutor(len(urls)) as pool:
        said = [str(each.exception()) for each in [pool.submit(send, url) for url in urls]]
    for each in said:
        assert re.fullmatch(NAMED, each), each
        assert "certificate verify failed" in each


def test_its_authority_vouches_for_it(served: Callable[[str], str], authority: Authority) -> None:
    assert send(f"{served('127.0.0.1')}?ssl_ca_certs={authority.ca}") >= 1


def test_a_file_of_authorities_that_is_not_there_is_said(served: Callable[[str], str], tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match=r"^CELERIAC_BROKER_URL: ssl_ca_certs=\S+none.pem: .* cannot be read"):
        send(f"{served('127.0.0.1')}?ssl_ca_certs={tmp_path / 'none.pem'}")


def test_only_the_url_itself_can_do_without(served: Callable[[str], str]) -> None:
    assert send(served("127.0.0.1") + "?ssl_cert_reqs=none") >= 1
