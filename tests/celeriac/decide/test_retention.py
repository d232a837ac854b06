"""When retention is due."""

from datetime import UTC, datetime, time

import pytest

from celeriac.decide.retention import retention_due

NOW = datetime(2026, 11, 29, 4, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ago_h", "at", "due"),
    [
        (None, time(3, 30), True),
        (0.4, time(3, 30), False),  # begun at 3:36
        (0.6, time(3, 30), True),  # begun at 3:24
        (24.0, time(3, 30), True),
        (20.0, time(5, 0), False),  # yesterday's five o'clock is the latest, and was served at eight
        (23.5, time(5, 0), True),
    ],
)
def test_it_is_due_once_a_day_from_its_time_on(ago_h: float | None, at: time, due: bool) -> None:
    decision = retention_due(NOW, None if ago_h is None else ago_h * 3600, at)
    assert decision.due is due
    assert decision.reason
