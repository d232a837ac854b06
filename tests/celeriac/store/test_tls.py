"""TLS to Postgres: with `sslmode=verify-full` a server that cannot prove who it is gets no password and no row, and the
error names the setting.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from celeriac.domain.errors import StoreUnavailable
from celeriac.store import open_store
from tests.celeriac.store.scenes import new_study
from tests.tls import Authority, behind_tls

NAMED = "Postgres at .* does not prove who it is .*sslmode and sslrootcert in CELERIAC_DATABASE_URL"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def port(database: str, authority: Authority) -> Iterator[int]:
    """Of the run's Postgres behind TLS, which can prove that it is 127.0.0.1."""
    directory = make_url(database).query["host"]
    certificate = authority.issue("localhost", "127.0.0.1")
    with behind_tls(f"{directory}/.s.PGSQL.5432", certificate, "0.0.0.0", asks_first=True) as opened:
        yield opened


def through(database: str, port: int, ca: Path, host: str = "127.0.0.1") -> str:
    url = make_url(database)
    return f"postgresql+psycopg://{url.username}@{host}:{port}/{url.database}?sslmode=verify-full&sslrootcert={ca}"


def test_its_authority_vouches_for_it(database: str, port: int, authority: Authority) -> None:
    store = open_store(through(database, port, authority.ca))
    store.check_schema()
    assert store.study(store.create_study(new_study("by-tls")).id).name == "by-tls"
    store.close()


def test_another_authority_does_not_vouch_for_it(database: str, port: int, tmp_path: Path) -> None:
    store = open_store(through(database, port, Authority(tmp_path, "another").ca))
    with pytest.raises(StoreUnavailable, match=NAMED):
        store.now()


def test_a_certificate_of_another_host_is_refused(database: str, port: int, authority: Authority) -> None:
    with pytest.raises(StoreUnavailable, match=NAMED):
        open_store(through(database, port, authority.ca, "127.0.0.2")).now()


def test_a_file_of_authorities_that_is_not_there_is_said(database: str, port: int, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=NAMED):
        open_store(through(database, port, tmp_path / "none.pem")).now()
