"""What the tests of the Python API share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.client import Client
from celeriac.runtime.settings import Settings
from tests.celeriac.cli.played import CODE


@pytest.fixture
def client(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client in a directory with an objective."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(CODE)
    with Client(settings) as opened:
        yield opened
