"""A host whose wall clock is an hour off: every time that counts is the database's, and every wait is on the monotonic
clock.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from celeriac.domain.records import Fault, TrialState
from coordinator.reaper import reap
from tests.worker.conftest import Host, until

LEASE_S = 4.0
# What each Python process of the node, its trials included, runs before anything else: all of its wall clocks are
# shifted.
SHIFTED = """
import datetime, time

SHIFT_S = {shift_s}
true, true_ns, plain = time.time, time.time_ns, datetime.datetime
time.time = lambda: true() + SHIFT_S
time.time_ns = lambda: true_ns() + SHIFT_S * 1_000_000_000


class Kind(type):
    def __instancecheck__(cls, thing):
        return isinstance(thing, plain)


class Shifted(plain, metaclass=Kind):
    @classmethod
    def now(cls, tz=None):
        return plain.now(tz) + datetime.timedelta(seconds=SHIFT_S)

    @classmethod
    def utcnow(cls):
        return cls.now(datetime.UTC).replace(tzinfo=None)


datetime.datetime = Shifted
"""


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("shift_s", [3600, -3600])
def test_a_host_whose_clock_is_an_hour_off_keeps_its_leases_and_loses_them_in_time(
    start: Callable[..., Host], tmp_path: Path, shift_s: int
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SHIFTED.format(shift_s=shift_s))
    host = start(PYTHONPATH=str(tmp_path), CELERIAC_LEASE_S=str(LEASE_S))
    store = host.store
    began = store.now()
    files = {"file": str(tmp_path / "go"), "running": str(tmp_path / "running")}
    ticket = host.send(host.study("attempts:tells_the_time"), files)
    until((tmp_path / "running").exists)

    def lived_on() -> bool:
        """Whether it has trained for longer than a lease that nobody renews; meanwhile nobody may take it for dead."""
        assert store.expired() == []
        return store.now() > store.attempts(ticket.study, ticket.trial)[0].leased_at + timedelta(seconds=LEASE_S + 1)

    until(lived_on)
    (attempt,) = store.attempts(ticket.study, ticket.trial)
    assert attempt.lease_until - store.now() <= timedelta(seconds=LEASE_S)
    (device,) = store.devices()
    assert began - timedelta(seconds=60) < device.heartbeat_at <= store.now()

    (tmp_path / "go").write_text("")
    until(lambda: host.is_(ticket, TrialState.SCORED))
    (attempt,) = store.attempts(ticket.study, ticket.trial)
    assert attempt.ended_at is not None
    assert began <= attempt.leased_at < attempt.ended_at <= store.now()
    reports = store.reports(ticket.study, ticket.trial)
    for report in reports:
        assert report.at is not None
        assert attempt.leased_at <= report.at <= attempt.ended_at
        told_s = report.metrics["clock"] - report.at.timestamp()
        assert abs(told_s - shift_s) < 1800, "the host's clock was not shifted"

    for name in ("go", "running"):
        (tmp_path / name).unlink()
    ticket = host.send(store.study(ticket.study), files)
    until((tmp_path / "running").exists)
    host.process.kill()
    host.process.wait()

    def reaped() -> bool:
        """The coordinator's clock ticks."""
        reap(store, host.tickets, tick_s=0.5)
        return host.trial(ticket).state is not TrialState.RUNNING

    until(reaped)
    trial = host.trial(ticket)
    assert (trial.state, trial.fault) == (TrialState.WAITING, Fault.INFRASTRUCTURE)
    (attempt,) = store.attempts(ticket.study, ticket.trial)
    assert attempt.ended_at is not None
    assert timedelta() < attempt.ended_at - attempt.lease_until < timedelta(seconds=1800)
