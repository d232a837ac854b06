"""When schedules are due: time zones, clock changes and outages."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from celeriac.decide.due import MOST_COUNTED, due, next_due
from celeriac.domain.records import Schedule

BERLIN = "Europe/Berlin"


def schedule(cron: str, next_due_at: datetime, timezone: str = "UTC", **changes: Any) -> Schedule:
    return Schedule(
        **{
            "name": "flights",
            "spec": {},
            "cron": cron,
            "timezone": timezone,
            "slices": (),
            "code_root": "",
            "fingerprint": "",
            "paused": False,
            "next_due_at": next_due_at,
            "created_at": next_due_at,
            **changes,
        }
    )


def local(*parts: int, fold: int = 0, zone: str = BERLIN) -> datetime:
    year, month, day, hour, minute = parts
    return datetime(year, month, day, hour, minute, tzinfo=ZoneInfo(zone), fold=fold)


def firings(cron: str, after: datetime, count: int, zone: str = BERLIN) -> list[str]:
    found = []
    for _ in range(count):
        after = next_due(cron, zone, after)
        found.append(f"{after.astimezone(ZoneInfo(zone)):%d %H:%M}")
    return found


def test_a_time_is_local_and_the_answer_is_utc() -> None:
    at = next_due("0 3 * * *", BERLIN, datetime(2026, 11, 24, 0, 0, tzinfo=UTC))
    assert at == datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
    assert at.tzinfo is UTC


def test_a_firing_is_strictly_later() -> None:
    at = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
    assert next_due("0 3 * * *", BERLIN, at) == at + timedelta(days=1)


def test_in_the_skipped_hour_it_fires_at_the_first_minute_that_exists() -> None:
    # Berlin skips 2026-03-29 02:00-03:00.
    assert firings("30 2 * * *", local(2026, 3, 28, 12, 0), 2) == ["29 03:00", "30 02:30"]


def test_in_the_hour_that_comes_twice_it_fires_once() -> None:
    # Berlin repeats 2026-10-25 02:00-03:00.
    assert firings("30 2 * * *", local(2026, 10, 24, 12, 0), 2) == ["25 02:30", "26 02:30"]
    first = next_due("30 2 * * *", BERLIN, local(2026, 10, 24, 12, 0))
    assert first == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_asked_between_the_two_passes_of_an_hour_it_does_not_look_back() -> None:
    asked = local(2026, 10, 25, 2, 15, fold=1)
    assert next_due("30 2 * * *", BERLIN, asked) > asked


def test_an_hourly_firing_follows_real_time_through_both_changes() -> None:
    assert firings("0 * * * *", local(2026, 3, 29, 0, 30), 3) == ["29 01:00", "29 03:00", "29 04:00"]
    assert firings("0 * * * *", local(2026, 10, 25, 1, 30), 3) == ["25 02:00", "25 02:00", "25 03:00"]


def test_what_is_not_due_waits() -> None:
    at = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
    decision = due(schedule("0 3 * * *", at), at - timedelta(seconds=1))
    assert (decision.fire_at, decision.next_at, decision.skipped) == (None, at, 0)


def test_what_is_due_fires_and_moves_on() -> None:
    at = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
    decision = due(schedule("0 3 * * *", at), at)
    assert (decision.fire_at, decision.next_at, decision.skipped) == (at, at + timedelta(days=1), 0)


def test_after_an_outage_only_the_latest_missed_firing_is_made() -> None:
    at = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
    decision = due(schedule("0 3 * * *", at), datetime(2026, 11, 24, 12, 0, tzinfo=UTC))
    assert decision.fire_at == datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
    assert decision.next_at == datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
    assert decision.skipped == 4
    assert "4 earlier firings were missed" in decision.reason


def test_a_year_of_missed_minutes_is_decided_at_once() -> None:
    now = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)
    decision = due(schedule("* * * * *", now - timedelta(days=365)), now)
    assert decision.fire_at == datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    assert decision.next_at == datetime(2026, 11, 24, 12, 1, tzinfo=UTC)
    assert decision.skipped == MOST_COUNTED


def test_many_missed_minutes_of_one_hour_a_year_ago_find_the_last_of_them() -> None:
    first = datetime(2025, 1, 1, 0, 0, tzinfo=UTC)
    decision = due(schedule("* * 1-3 1 *", first), datetime(2025, 11, 1, tzinfo=UTC))
    assert decision.fire_at == datetime(2025, 1, 3, 23, 59, tzinfo=UTC)
    assert decision.next_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_cron_that_never_comes_says_so() -> None:
    with pytest.raises(ValueError, match="Bad day-of-month"):
        next_due("0 0 31 2 *", "UTC", datetime(2026, 1, 1, tzinfo=UTC))


def test_a_time_zone_that_is_none_says_so() -> None:
    with pytest.raises(ValueError, match="Europe/Atlantis"):
        next_due("0 0 * * *", "Europe/Atlantis", datetime(2026, 1, 1, tzinfo=UTC))
