"""Who is dead: only whoever said nothing for a lease in which the database answered."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from celeriac.decide.lapsed import is_lost, look_again
from celeriac.domain.records import OpenAttempt, ReaperLook

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
TICK_S, LEASE_S = 5.0, 30.0


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def lapsing(until_s: float, lease_s: float = LEASE_S) -> OpenAttempt:
    """An attempt whose lease ends then."""
    return OpenAttempt("t", 1, "s", 0, 1, "w", {}, False, False, at(until_s - lease_s), lease_s, at(until_s))


def looks(*seconds: float, tick_s: float = TICK_S) -> ReaperLook:
    """What a reaper knows that looked at these moments."""
    look = None
    for each in seconds:
        look = look_again(look, at(each), tick_s=tick_s)
    assert look is not None
    return look


def every_tick(start: float, end: float) -> list[float]:
    return [start + TICK_S * k for k in range(int((end - start) / TICK_S) + 1)]


def test_a_dead_workers_lease_is_given_up_within_two_ticks_of_its_end() -> None:
    dead = lapsing(41)
    assert not is_lost(dead, looks(*every_tick(0, 45)))
    assert is_lost(dead, looks(*every_tick(0, 50)))


def test_after_a_silence_each_lease_has_its_whole_time_again() -> None:
    """Whatever became of the server: stopped, restarted, or another in its place."""
    well = lapsing(105)  # it could not renew between 100 and 160
    before = every_tick(0, 100)
    assert not is_lost(well, looks(*before, *every_tick(160, 185)))
    assert is_lost(well, looks(*before, *every_tick(160, 190)))


def test_a_reaper_that_starts_waits_for_one_lease() -> None:
    assert not is_lost(lapsing(-1000), looks(*every_tick(0, 25)))
    assert is_lost(lapsing(-1000), looks(*every_tick(0, 30)))


def test_a_late_or_lost_tick_is_no_silence() -> None:
    assert is_lost(lapsing(60), looks(*every_tick(0, 60), 70.5, 76))


def test_a_silence_between_two_ticks_leaves_a_worker_a_tick_to_renew() -> None:
    """Nine seconds without an answer, leases of six: shorter than a gap, longer than a lease."""
    renewed_last = lapsing(101.5, lease_s=6)  # well; silent from 100.1 to 109
    assert not is_lost(renewed_last, looks(*every_tick(0, 100), 109))
    assert is_lost(renewed_last, looks(*every_tick(0, 100), 109, 114)), "and it did not renew in those"


def test_two_looks_at_once_are_one() -> None:
    """A second reaper, or ticks that had queued up: both come right after the silence."""
    renewed_last = lapsing(101.5, lease_s=6)
    assert not is_lost(renewed_last, looks(*every_tick(0, 100), 109, 109.1, 110))
    assert is_lost(renewed_last, looks(*every_tick(0, 100), 109, 112)), "a tick that came a little early is another"


def test_a_server_whose_clock_is_behind_starts_anew() -> None:
    look = looks(*every_tick(0, 100), -500)
    assert (look.looked_at, look.seen_since) == (at(-500), at(-500))


@given(
    silence_s=st.floats(0, 600),
    renews_after_s=st.floats(0, TICK_S / 2),
    phase=st.floats(0, TICK_S),
    lease_s=st.floats(12, 60),
    two=st.booleans(),
)
def test_no_silence_costs_a_worker_that_renews_once_it_can(
    silence_s: float, renews_after_s: float, phase: float, lease_s: float, two: bool
) -> None:
    """It renewed just before the silence began, every look in the silence is lost, and it renews soon after."""
    began, ended = 1000.0, 1000.0 + silence_s
    moments = [phase + TICK_S * k for k in range(400)]
    if two:
        moments = sorted([*moments, *(moment + 1.3 for moment in moments)])
    look = None
    for moment in moments:
        if began <= moment <= ended:
            continue
        look = look_again(look, at(moment), tick_s=TICK_S)
        renewed_s = began - TICK_S if moment < ended + renews_after_s else moment
        held = lapsing(renewed_s + lease_s, lease_s)
        assert not (held.lease_until < at(moment) and is_lost(held, look))
