"""One embedded stack for all proofs of the doors, and a laptop that knows its address and nothing else of it."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from urllib.request import urlopen

import pytest

from benchmarks.embedded import Embedded, embedded
from celeriac.domain.records import Scope
from celeriac.store.tokens import make_token
from tests.servers import free_port


@dataclass(frozen=True)
class Laptop:
    """Its environment, in which the service is an address and a token; its home; and the directory that it shares with
    the workers.
    """

    environment: Mapping[str, str]
    home: Path
    share: Path


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """Two slots; whoever asks for a service finds this one."""
    share = tmp_path_factory.mktemp("share")
    settings = {"CELERIAC_WEB_PORT": str(free_port()), "CELERIAC_WEB_CODE_ROOTS": str(share)}
    with embedded(slots=2, environment=settings) as stack:
        os.environ["CELERIAC_HOME"] = str(stack.home)
        yield stack


@pytest.fixture(scope="session")
def laptop(stack: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """A laptop whose token may submit; the scope `code` is for the plain command."""
    address = json.loads(stack.settings.stack_file.read_text())["web_url"]
    answers(f"{address}/healthz", stack.process)  # the stack is ready without it
    with stack.client() as client:
        token = make_token(client.web_store(), "laptop", (Scope.READ, Scope.SUBMIT, Scope.CODE))
    home, share = tmp_path_factory.mktemp("home"), Path(stack.environment["CELERIAC_WEB_CODE_ROOTS"])
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "OMP_NUM_THREADS": "1",
        "CELERIAC_URL": address,
        "CELERIAC_TOKEN": token,
        "CELERIAC_CODE_ROOT": str(share),
    }
    return Laptop(environment, home, share)


def answers(address: str, server: "Popen[bytes] | Popen[str]") -> None:
    """Wait for a server, which says nothing when it is ready."""
    for _ in range(300):
        assert server.poll() is None, f"what should answer at {address} has ended"
        try:
            with urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{address} does not answer")
