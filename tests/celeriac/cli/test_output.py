"""Output that cannot be written, streams that are closed, and encodings without our characters: a line, never a
traceback.
"""

import subprocess
import sys

import pytest

from celeriac.client import Client
from tests.celeriac.cli.played import SPEC, Celeriac, closed, played


def shell(environment: dict[str, str], line: str, **more: str) -> "subprocess.CompletedProcess[str]":
    command = line.replace("celeriac", f"{sys.executable} -m celeriac.cli", 1)
    return subprocess.run(
        ["bash", "-c", command],
        env={"PATH": "/usr/bin:/bin", **environment, **more},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def study(celeriac: Celeriac, client: Client) -> None:
    opened = client.open({**SPEC, "budget": {"trials": 10}}).study
    played(client, opened, *(0.5 + 0.01 * k for k in range(10)))
    closed(client, opened)


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("celeriac best digits > /dev/full", 1, "celeriac: the output cannot be written: No space left on device"),
        ("celeriac export digits > /dev/full", 1, "celeriac: the output cannot be written"),
        ("celeriac export digits --out /dev/full", 2, "--out /dev/full: No space left on device"),
        ("celeriac status >&-", 0, ""),
        ("celeriac status 2>&-", 0, ""),
    ],
)
def test_what_cannot_be_written_is_told(environment: dict[str, str], line: str, code: int, said: str) -> None:
    ran = shell(environment, line)
    assert "Traceback" not in ran.stderr
    assert "Exception ignored" not in ran.stderr
    assert (ran.returncode, said in ran.stderr) == (code, True), ran.stderr


@pytest.mark.usefixtures("study")
def test_an_encoding_without_our_characters_is_no_error(environment: dict[str, str]) -> None:
    ran = shell(environment, "celeriac importance digits", PYTHONIOENCODING="ascii")
    assert (ran.returncode, "?" in ran.stdout) == (0, True), ran.stderr
