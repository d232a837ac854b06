"""What the threads beside an attempt are tested with: a store of their verbs, and what wakes the attempt's loop."""

from collections.abc import Iterator

import pytest

from tests.worker.written import Written
from worker.attempt.wakeup import Wakeup


@pytest.fixture
def written() -> Iterator[Written]:
    written = Written()
    yield written
    written.go_on.set()


@pytest.fixture
def wakeup() -> Iterator[Wakeup]:
    wakeup = Wakeup()
    yield wakeup
    wakeup.close()
