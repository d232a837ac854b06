"""The lease's keeper: it renews and does nothing else, whatever the store answers."""

import select
import threading
import time
from collections.abc import Iterator

import pytest

from celeriac.domain.errors import LeaseLost, StoreUnavailable, TryAgain
from tests.worker.written import Written
from worker.attempt.heartbeat import LeaseKeeper
from worker.attempt.wakeup import Wakeup


@pytest.fixture
def keeper(written: Written, wakeup: Wakeup) -> Iterator[LeaseKeeper]:
    keeper = LeaseKeeper(written, wakeup, lease_s=30.0, heartbeat_s=0.05)
    yield keeper
    written.go_on.set()
    keeper.close()


def test_it_renews_at_every_heartbeat_until_it_is_left(keeper: LeaseKeeper, written: Written) -> None:
    kept = keeper.keep("mine")
    written.wait_for("renew", 3)
    keeper.leave(kept)
    assert set(written.calls) == {("renew", "mine")}


def test_a_lost_lease_wakes_the_runner_and_is_renewed_no_more(
    keeper: LeaseKeeper, written: Written, wakeup: Wakeup
) -> None:
    written.errors = [LeaseLost("gone", reason="superseded")]
    kept = keeper.keep("mine")
    assert select.select([wakeup], [], [], 5)[0]
    assert kept.lost is not None
    keeper.close()
    assert written.count("renew") == 1


@pytest.mark.parametrize(
    "error", [StoreUnavailable("Postgres is away"), TryAgain("two writers met"), RuntimeError("a trigger's error")]
)
def test_trouble_of_the_store_is_told_once_and_the_lease_is_renewed_on(
    keeper: LeaseKeeper, written: Written, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    written.errors = [error, error]
    kept = keeper.keep("mine")
    written.wait_for("renew", 4)
    keeper.leave(kept)
    assert kept.lost is None
    assert sum(str(error) in line for line in caplog.messages) == 1


def test_nobody_waits_for_a_renewal_that_hangs(keeper: LeaseKeeper, written: Written) -> None:
    written.hangs = "renew"
    kept = keeper.keep("mine")
    written.wait_for("renew")
    began = time.monotonic()
    keeper.leave(kept)
    keeper.keep("next")
    assert time.monotonic() - began < 1.0
    written.go_on.set()
    written.wait_for("renew", 2)
    assert written.calls[1] == ("renew", "next")


def test_no_thread_is_left_when_it_is_closed(written: Written, wakeup: Wakeup) -> None:
    before = threading.active_count()
    keeper = LeaseKeeper(written, wakeup, lease_s=30.0, heartbeat_s=0.05)
    keeper.keep("mine")
    keeper.close()
    keeper.close()
    assert threading.active_count() == before
