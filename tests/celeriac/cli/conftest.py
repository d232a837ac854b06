"""The command as a test runs it: `celeriac(...)` in this process, on the test's own servers, with plain output."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.cli.main import main
from celeriac.client import Client
from celeriac.runtime.settings import Settings
from tests.celeriac.cli.played import CODE, STUDY_FILE, Celeriac, Ran


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    """A client beside the command."""
    with Client(settings) as opened:
        yield opened


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """What tells the command where the test's service is."""
    return {
        "CELERIAC_HOME": str(settings.home),
        "CELERIAC_DATABASE_URL": settings.database_url,
        "CELERIAC_BROKER_URL": settings.broker_url,
        "TZ": "UTC",
    }


@pytest.fixture
def celeriac(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Celeriac]:
    """Run the command in a directory with a study file and its objective."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(CODE)
    (tmp_path / "study.yaml").write_text(STUDY_FILE)
    interrupt = signal.getsignal(signal.SIGINT)

    def run(*words: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["celeriac", *words])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    yield run
    signal.signal(signal.SIGINT, interrupt)
