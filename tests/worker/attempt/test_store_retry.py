"""One way of waiting for a store that is away: until it answers, or until an order to stop is old enough."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from celeriac.domain.errors import LeaseLost, StoreUnavailable, TryAgain
from worker.attempt.control import Control
from worker.attempt.store_retry import DELAYS_S, LAST_DELAY_S, StoreRetry, UntilStopped


@pytest.fixture
def control() -> Iterator[Control]:
    control = Control()
    yield control
    control.close()


class Call:
    """A call that raises these errors first."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls = list(errors), 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_it_repeats_with_growing_delays_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    waited: list[float] = []
    call = Call(*[StoreUnavailable("Postgres is away")] * 5)

    def pause(delay_s: float) -> bool:
        waited.append(delay_s)
        return True

    assert StoreRetry("digits trial 3: its end", pause)(call) == "done"
    assert waited == [*DELAYS_S, LAST_DELAY_S, LAST_DELAY_S]
    assert caplog.messages == ["digits trial 3: its end waits for the store: Postgres is away"]


def test_a_second_deadlock_is_waited_for_too() -> None:
    call = Call(TryAgain("two writers met"))
    assert StoreRetry("digits trial 3", lambda _: True)(call) == "done"


def test_another_error_is_nobody_s_to_wait_for() -> None:
    call = Call(LeaseLost("gone", reason="superseded"))
    with pytest.raises(LeaseLost):
        StoreRetry("digits trial 3", lambda _: True)(call)
    assert call.calls == 1


@pytest.mark.parametrize("order", ["drain", "revoke"])
def test_after_an_order_to_stop_it_waits_between_tries_and_gives_up_at_the_end_of_the_grace(
    control: Control, order: str, caplog: pytest.LogCaptureFixture
) -> None:
    with control.sigterm_as_event():
        if order == "drain":
            control.drain()
        else:
            os.kill(os.getpid(), signal.SIGTERM)
        call, began = Call(*[StoreUnavailable("Postgres is away")] * 100), time.monotonic()
        with pytest.raises(StoreUnavailable):
            StoreRetry("digits trial 3: its end", UntilStopped(control, grace_s=0.5))(call)
    assert 0.4 < time.monotonic() - began < 5.0
    assert call.calls <= 4
    assert "digits trial 3: its end is given up: the store is still away (Postgres is away)" in caplog.messages


def test_an_order_that_comes_ends_the_wait_and_begins_the_grace(control: Control) -> None:
    call = Call(*[StoreUnavailable("Postgres is away")] * 100)
    threading.Timer(0.1, control.drain).start()
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        StoreRetry("digits trial 3", UntilStopped(control, grace_s=0.0))(call)
    assert time.monotonic() - began < 5.0
