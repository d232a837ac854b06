"""One embedded stack for all proofs of the doors."""

import os
from collections.abc import Iterator

import pytest

from benchmarks.embedded import Embedded, embedded


@pytest.fixture(scope="session")
def stack() -> Iterator[Embedded]:
    """Two slots; whoever asks for a service finds this one."""
    with embedded(slots=2) as stack:
        os.environ["CELERIAC_HOME"] = str(stack.home)
        yield stack
