"""When a worker is taken for deaf, and what the watchdog's thread does about it."""

import threading

import pytest

from celeriac.domain.errors import BrokerUnavailable
from worker.slot.watchdog import DEAF, Look, Watchdog, watch


@pytest.mark.parametrize(
    ("look", "idle_since", "leave", "since"),
    [
        (Look(waiting=3, busy=False, taken=5), None, False, 100.0),
        (Look(waiting=3, busy=False, taken=5), 39.0, True, 39.0),
        (Look(waiting=3, busy=False, taken=5), 41.0, False, 41.0),
        (Look(waiting=3, busy=True, taken=5), 0.0, False, None),
        (Look(waiting=3, busy=False, taken=6), 0.0, False, None),
        (Look(waiting=0, busy=False, taken=5), 0.0, False, None),
        (Look(waiting=None, busy=False, taken=5), 0.0, False, None),
    ],
)
def test_only_idleness_beside_waiting_tickets_counts(
    look: Look, idle_since: float | None, leave: bool, since: float | None
) -> None:
    decision = watch(100.0, look, taken_before=5, idle_since=idle_since, patience_s=60.0)
    assert (decision.leave, decision.idle_since) == (leave, since)
    assert decision.reason


def test_the_watchdog_leaves_a_deaf_worker() -> None:
    left = threading.Event()
    statuses: list[int] = []

    def leave(status: int) -> None:
        statuses.append(status)
        left.set()

    Watchdog(patience_s=0.1, waiting=lambda: 1, busy=lambda: False, taken=lambda: 0, leave=leave).start()
    assert left.wait(5)
    assert statuses == [DEAF]


def test_an_unreachable_redis_is_no_sign_of_deafness() -> None:
    looked, left = threading.Semaphore(0), threading.Event()

    def waiting() -> int:
        looked.release()
        raise BrokerUnavailable("Redis is away")

    watchdog = Watchdog(
        patience_s=0.1, waiting=waiting, busy=lambda: False, taken=lambda: 0, leave=lambda status: left.set()
    )
    watchdog.start()
    for _ in range(8):
        assert looked.acquire(timeout=5)
    watchdog.stop()
    assert not left.is_set()
