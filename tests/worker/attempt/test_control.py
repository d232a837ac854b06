"""The pipes between a worker's main process and its pool process, across forks."""

import os
import select
import signal
from collections.abc import Iterator

import pytest

from celeriac.domain.messages import RunTrial
from worker.attempt.control import Control


@pytest.fixture
def orders() -> Iterator[Control]:
    orders = Control()
    yield orders
    orders.close()


def test_a_drain_is_heard_by_every_later_process(orders: Control) -> None:
    assert not orders.draining()
    orders.drain()
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if Control.draining(orders) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert orders.draining()


def test_a_drain_may_be_ordered_ever_so_often(orders: Control) -> None:
    for _ in range(100_000):
        orders.drain()
    assert orders.draining()


def test_a_revoke_names_its_ticket(orders: Control) -> None:
    mine, other = RunTrial(1, 2, 1), RunTrial(1, 3, 1)
    orders.revoke(other)
    orders.revoke(mine)
    assert orders.revoked(mine, within_s=1.0)
    orders.revoke(other)
    assert not orders.revoked(mine, within_s=0.05)


def test_revokes_that_nobody_reads_do_not_block(orders: Control) -> None:
    for number in range(5_000):
        orders.revoke(RunTrial(1, number, 1))
    assert orders.revoked(RunTrial(1, 0, 1), within_s=1.0)


def test_sigterm_is_an_event_while_heeding(orders: Control) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with orders.heeding():
        os.kill(os.getpid(), signal.SIGTERM)
        assert select.select([orders.terminated_fd], [], [], 5)[0]
        assert orders.terminated
    assert signal.getsignal(signal.SIGTERM) == before
    assert not select.select([orders.terminated_fd], [], [], 0)[0]
