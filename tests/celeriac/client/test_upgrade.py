"""`celeriac migrate` before it touches anything: what it refuses. What it does is seen in the store's tests and in
compose-test.
"""

from pathlib import Path

import pytest

from celeriac.client.upgrade import upgrade
from celeriac.domain.errors import SettingInvalid, StoreUnavailable


def test_one_of_the_two_passwords_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CELERIAC_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("CELERIAC_WORKER_PASSWORD", "secret")
    with pytest.raises(SettingInvalid, match="set both, or neither") as caught:
        upgrade(tmp_path)
    assert "secret" not in str(caught.value)


def test_without_a_database_it_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CELERIAC_DATABASE_URL", raising=False)
    with pytest.raises(StoreUnavailable, match="CELERIAC_DATABASE_URL"):
        upgrade(tmp_path)
