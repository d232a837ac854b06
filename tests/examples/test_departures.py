"""The flights example's data: what may be known, and when."""

from datetime import date, timedelta
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

DUE = "2013-10-01T06:00:00+00:00"  # two in the morning in New York


@pytest.fixture(scope="module")
def tables(departures: ModuleType) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Four days of flights, and the year's weather."""
    flights, weather = departures.read()
    return flights[(flights.month == 3) & (flights.day <= 4)].reset_index(drop=True), weather


def test_the_whole_year_is_read(flights: ModuleType) -> None:
    assert len(flights.TABLE) == 336_776
    assert set(flights.TABLE.origin) == {"JFK", "LGA", "EWR"}
    assert 0.2 < flights.TABLE.late.mean() < 0.25


def test_nothing_that_happened_to_a_flight_is_a_feature(
    departures: ModuleType, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    """Whatever its delays and times were, its features are the same; only the label moves, and only with the arrival
    delay.
    """
    timetable, weather = tables
    rng = np.random.default_rng(1)
    happened = {
        name: rng.normal(100, 100, len(timetable))
        for name in ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")
    }
    before = departures.departures(timetable, weather)
    after = departures.departures(timetable.assign(**happened, tailnum="N1"), weather)
    assert_frame_equal(after.drop(columns="late"), before.drop(columns="late"))
    assert not after.late.equals(before.late)
    assert "late" not in departures.NUMBERS + departures.CODES


def test_no_weather_of_the_hour_of_departure_or_later_is_a_feature(
    departures: ModuleType, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    timetable, weather = tables
    hour = pd.Timestamp("2013-03-03T15:00:00")
    noon = pd.to_datetime(weather.time_hour, format=departures.ISO_HOUR) >= hour
    changed = weather.copy()
    changed.loc[noon, departures.WEATHER] += 1000.0
    before, after = (departures.departures(timetable, each) for each in (weather, changed))
    known = before.scheduled_hour <= hour
    assert known.any()
    assert not known.all()
    assert_frame_equal(after[known], before[known])
    assert (after.temp[~known] > before.temp[~known]).all()


def test_a_flight_that_never_arrived_is_in_no_part(departures: ModuleType, flights: ModuleType) -> None:
    parts = departures.night(flights.TABLE, "EWR", DUE)
    table = flights.TABLE[flights.TABLE.origin == "EWR"]
    first, end = departures.periods(date(2013, 10, 1))["holdout"]
    days = table[(table.day >= pd.Timestamp(first)) & (table.day < pd.Timestamp(end))]
    assert days.late.isna().any()
    assert len(parts["holdout"].late) == days.late.notna().sum()


@given(due=st.dates(date(2013, 3, 5), date(2013, 12, 31)))
def test_the_periods_follow_each_other_up_to_the_due_date(departures: ModuleType, due: date) -> None:
    periods = departures.periods(due)
    train, validation, holdout = periods["train"], periods["validation"], periods["holdout"]
    assert train[0] < train[1] == validation[0] < validation[1] == holdout[0] < holdout[1] == due
    assert timedelta(days=28) <= train[1] - train[0] <= timedelta(days=120)
    assert validation[1] - validation[0] == timedelta(days=14)
    assert holdout[1] - holdout[0] == timedelta(days=21), "the gate wants 20 blocks"
    assert date(2013, 1, 1) <= train[0]


@pytest.mark.parametrize("due", [date(2013, 1, 1), date(2013, 3, 4)])
def test_a_night_that_the_year_cannot_fill_is_refused(departures: ModuleType, due: date) -> None:
    with pytest.raises(ValueError, match="choose a due date from 2013-03-05 to 2013-12-31"):
        departures.periods(due)


@pytest.mark.parametrize(
    ("due_at", "expected"),
    [
        ("2013-10-01T06:00:00+00:00", date(2013, 10, 1)),
        ("2013-10-01T03:59:00+00:00", date(2013, 9, 30)),  # still the evening before in New York
        ("2026-11-23T07:00:00+00:00", date(2013, 11, 23)),
        ("2028-02-29T07:00:00+00:00", date(2013, 2, 28)),
    ],
)
def test_a_night_is_new_yorks_day_replayed_in_2013(departures: ModuleType, due_at: str, expected: date) -> None:
    assert departures.due_date(due_at) == expected


def test_the_parts_hold_the_days_of_their_periods(departures: ModuleType, flights: ModuleType) -> None:
    parts = departures.night(flights.TABLE, "JFK", DUE)
    ages = {name: (part.age_days.min(), part.age_days.max()) for name, part in parts.items()}
    assert ages == {"train": (36, 155), "validation": (22, 35), "holdout": (1, 21)}
    assert all(np.isfinite(part.numbers).all() for part in parts.values())


def test_only_the_training_days_teach_the_scale_and_the_codes(departures: ModuleType, flights: ModuleType) -> None:
    """Flights after the cut are made strange: what the training days look like must not change, and new codes become
    0.
    """
    table: pd.DataFrame = flights.TABLE
    cut = pd.Timestamp(departures.periods(date(2013, 10, 1))["train"][1])
    strange = table.copy()
    strange.loc[strange.day >= cut, "log_distance"] = 99.0
    strange.loc[strange.day >= cut, "dest"] = 127
    before: dict[str, Any] = departures.night(table, "LGA", DUE)
    after: dict[str, Any] = departures.night(strange, "LGA", DUE)
    np.testing.assert_array_equal(after["train"].numbers, before["train"].numbers)
    np.testing.assert_array_equal(after["train"].codes, before["train"].codes)
    assert (after["holdout"].codes[:, departures.CODES.index("dest")] == 0).all()
    assert (before["train"].codes > 0).all()
