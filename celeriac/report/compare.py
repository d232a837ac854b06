"""Trials of a study, or studies, beside each other: what differs, what is the same, which is best. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from celeriac.domain.records import Goal, StudyRecord, TrialRecord


@dataclass(frozen=True, slots=True)
class Comparison:
    """`scores` of each by its name; `differ`: the values of each, in that order, of what is not the same in all (None:
    it has none); `same`: what is; `best`: the name of the one with the best score.
    """

    names: tuple[str, ...]
    scores: Mapping[str, float | None]
    differ: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    same: Mapping[str, Any] = field(default_factory=dict)
    best: str | None = None


def compare_trials(trials: Sequence[TrialRecord], goal: Goal) -> Comparison:
    """Trials of one study, by number."""
    names = tuple(str(each.number) for each in trials)
    scores = {name: each.score for name, each in zip(names, trials, strict=True)}
    return Comparison(names, scores, *_apart([each.params for each in trials]), _best(scores, goal))


def compare_studies(studies: Sequence[StudyRecord], best: Sequence[TrialRecord | None]) -> Comparison:
    """Studies by name: their specs, and the parameters of the best trial of each as `best.NAME`. No best study where
    they do not have the same metric and goal.
    """
    names = tuple(each.name for each in studies)
    scores = {each.name: each.best_score for each in studies}
    forms = [
        {**dict(_leaves(each.spec)), **{f"best.{k}": v for k, v in (trial.params if trial else {}).items()}}
        for each, trial in zip(studies, best, strict=True)
    ]
    for form in forms:
        form.pop("study", None)
    is_one = len({(each.metric, each.goal) for each in studies}) == 1
    return Comparison(names, scores, *_apart(forms), _best(scores, studies[0].goal) if is_one else None)


def _apart(forms: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Sequence[Any]], dict[str, Any]]:
    """What differs, and what is the same."""
    keys = list(dict.fromkeys(key for form in forms for key in form))
    values: dict[str, Sequence[Any]] = {key: [form.get(key) for form in forms] for key in keys}
    differ = {key: found for key, found in values.items() if any(each != found[0] for each in found)}
    return differ, {key: found[0] for key, found in values.items() if key not in differ}


def _best(scores: Mapping[str, float | None], goal: Goal) -> str | None:
    known = {name: score for name, score in scores.items() if score is not None}
    choose = max if goal == "maximize" else min
    return choose(known, key=lambda name: known[name]) if known else None


def _leaves(form: Mapping[str, Any], path: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in form.items():
        inner = isinstance(value, Mapping) and value
        found += _leaves(value, f"{path}{key}.") if inner else [(f"{path}{key}", value)]
    return found
