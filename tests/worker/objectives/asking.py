"""Objectives written as for Optuna: they ask for their parameters."""

from typing import Any


def conditional(trial: Any) -> float:
    kind = trial.suggest_categorical("kind", ["a", "b"])
    if kind == "a":
        return float(trial.suggest_float("lr", 1e-5, 1e-1, log=True))
    trial.report(0.5, 0)
    return float(trial.suggest_int("depth", 2, 8))


def dies(trial: Any) -> float:
    trial.suggest_int("depth", 2, 8)
    raise RuntimeError("after it has asked")
