"""The pipes between a worker's main process and its pool process, across forks."""

import os
import select
import signal
from collections.abc import Iterator

import pytest

from celeriac.domain.messages import RunTrial
from worker.attempt.control import Control


@pytest.fixture
def control() -> Iterator[Control]:
    control = Control()
    yield control
    control.close()


def test_a_drain_is_heard_by_every_later_process(control: Control) -> None:
    assert not control.draining()
    control.drain()
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if Control.draining(control) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert control.draining()


def test_a_drain_may_be_ordered_ever_so_often(control: Control) -> None:
    for _ in range(100_000):
        control.drain()
    assert control.draining()


def test_a_revoke_names_its_ticket(control: Control) -> None:
    mine, other = RunTrial(1, 2, 1), RunTrial(1, 3, 1)
    control.revoke(other)
    control.revoke(mine)
    assert control.revoked(mine, within_s=1.0)
    control.revoke(other)
    assert not control.revoked(mine, within_s=0.05)


def test_revokes_that_nobody_reads_do_not_block(control: Control) -> None:
    for number in range(5_000):
        control.revoke(RunTrial(1, number, 1))
    assert control.revoked(RunTrial(1, 0, 1), within_s=1.0)


def test_sigterm_is_an_event_while_heeding(control: Control) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with control.sigterm_as_event():
        os.kill(os.getpid(), signal.SIGTERM)
        assert select.select([control.terminated_fd], [], [], 5)[0]
        assert control.terminated
    assert signal.getsignal(signal.SIGTERM) == before
    assert not select.select([control.terminated_fd], [], [], 0)[0]
