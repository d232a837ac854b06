"""What a study file comes to: the spec of a study, its canonical form, and what differs between two.

Rule: plain values that check nothing. Those that `celeriac.domain.study_file.parse` and `load` make are sound; nobody
else makes any.
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from celeriac.domain.hooks import Hook
from celeriac.domain.recipient import Recipient
from celeriac.domain.records import Goal, Resources
from celeriac.domain.space import Space
from celeriac.domain.stop_rules import StopRule, StopStudy, to_dict
from celeriac.domain.study_file.blackout import Blackout
from celeriac.domain.study_file.gating import GateSpec
from celeriac.domain.study_file.yaml import Scalar

#: The keys of a study that a slice may have a value of its own for; of those with keys inside it changes only some.
OF_A_SLICE = frozenset(
    {"context", "space", "default", "budget", "resources", "labels", "timeout", "parallel", "priority"}
)
#: More trials than any budget, and so the end of whatever counts trials.
MOST_TRIALS = 1_000_000
#: Without a word of the file, at most so many of a study's trials come from outside.
PROPOSED_SHARE = 0.3
#: A budget of less than a second of device time is a mistake.
LEAST_DEVICE_HOURS = 0.0003


@dataclass(frozen=True, slots=True)
class Metric:
    """What the score is called, and whether more of it is better."""

    name: str
    goal: Goal


@dataclass(frozen=True, slots=True)
class Budget:
    """How many finished trials, exactly; how long at most from the study's start, and how much device time at most, in
    seconds (None: no limit).
    """

    trials: int
    wall_s: float | None = None
    device_hours: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The canonical form: `budget` of a study file."""
        form = {"trials": self.trials, "wall": self.wall_s, "device_hours": self.device_hours}
        return {key: value for key, value in form.items() if value is not None}


@dataclass(frozen=True, slots=True)
class SliceSpec:
    """One slice of a list: the values that name it, its own cron line and zone (None: the schedule's), and the keys of
    the study that it changes, as a study file has them.
    """

    values: Mapping[str, Scalar]
    cron: str | None = None
    timezone: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The canonical form: one mapping of `schedule.slices`."""
        own = {"cron": self.cron, "timezone": self.timezone}
        return {**self.values, **{key: value for key, value in own.items() if value is not None}, **self.changes}


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """When a study runs again (five cron fields in a time zone), for which slices (`slices`, a product of lists, or
    `listed`), and how a night is judged. All others are as the study file's reference says.

    `always`: a night searches whether it pays or not. `warm_start`: it starts from what earlier nights and sister
    slices found. `device_hours` is what all firings of a night may take together,
    `device_hours_per_slice` each of them.
    """

    name: str
    cron: str
    timezone: str = "UTC"
    slices: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    gate: GateSpec = field(default_factory=GateSpec)
    always: bool = False
    listed: tuple[SliceSpec, ...] = ()
    catch_up: str = "one"
    overlap: str = "allow"
    blackout: tuple[Blackout, ...] = ()
    jitter_s: float = 0.0
    deadline: str | float | None = None
    hook: Hook | None = None
    warm_start: bool = True
    device_hours: float | None = None
    device_hours_per_slice: float | None = None
    morning: Recipient | None = None

    def combinations(self) -> list[dict[str, Scalar]]:
        """The slices: those listed, or every combination of the values of the slice keys; without keys, the one empty
        slice.
        """
        if self.listed:
            return [dict(each.values) for each in self.listed]
        return [dict(zip(self.slices, values, strict=True)) for values in itertools.product(*self.slices.values())]

    def times_of(self, slice_: Mapping[str, Any]) -> tuple[str, str]:
        """The cron line and the time zone of a slice."""
        own = next((each for each in self.listed if each.values == slice_), None)
        return (own and own.cron) or self.cron, (own and own.timezone) or self.timezone

    def to_dict(self) -> dict[str, Any]:
        """The canonical form: `schedule` of a study file."""
        listed = [each.to_dict() for each in self.listed]
        budget = {"device_hours": self.device_hours, "device_hours_per_slice": self.device_hours_per_slice}
        form: dict[str, Any] = {
            "name": self.name,
            "cron": self.cron,
            "timezone": self.timezone,
            "slices": listed or {key: list(values) for key, values in self.slices.items()} or None,
            "catch_up": None if self.catch_up == "one" else self.catch_up,
            "overlap": None if self.overlap == "allow" and self.catch_up != "all" else self.overlap,
            "blackout": [each.to_dict() for each in self.blackout] or None,
            "jitter": self.jitter_s or None,
            "deadline": self.deadline,
            "budget": {key: hours for key, hours in budget.items() if hours is not None} or None,
            "hook": None if self.hook is None else self.hook.to_dict(),
            "morning": None if self.morning is None else self.morning.to_dict(),
            "warm_start": None if self.warm_start else False,
            **self.gate.to_dict(),
            "always": self.always or None,
        }
        return {key: value for key, value in form.items() if value is not None}


@dataclass(frozen=True, slots=True)
class StudySpec:
    """A study as its file describes it, every default filled in; `parse` and `load` make it.

    `resources` are what one trial asks for. `seed`, where the file gives none, follows from the study's name.
    `default`, if given, is trial 0. The grid sampler takes 10 values of a continuous float, all values of the rest.
    `keep_model`: "best" or "all", the trials whose models are kept; "" for none. `timeout_s` is a trial's,
    `budget.wall_s` the study's; None is no limit. `priority` is its weight where studies share the fleet.
    `reproducible`: one trial after the other, each suggested when the one before has ended. `proposed_share`: of its
    trials, at most so many come from outside. `api`: what the objective is written for, "" for Celeriac. `command`:
    what is run instead of an objective, which is "" then. `learn_space`: the space takes in what the objective asks
    for. `pack`: so many trials at most train in one process; 0: each in one of its own.
    """

    study: str
    objective: str
    code: str
    metric: Metric
    space: Space
    default: Mapping[str, Any] | None
    sampler: str
    seed: int
    budget: Budget
    parallel: int | None
    resources: Resources
    timeout_s: float | None
    retry_attempts: int
    labels: Mapping[str, str]
    schedule: ScheduleSpec | None
    stop_early: StopRule | None = None
    stop_study: StopStudy | None = None
    keep_model: str = ""
    context: Mapping[str, Scalar] = field(default_factory=dict)
    priority: float = 1.0
    reproducible: bool = False
    proposed_share: float = PROPOSED_SHARE
    api: str = ""
    command: str = ""
    learn_space: bool = False
    pack: int = 0

    @property
    def at_once(self) -> int | None:
        """How many trials may run at once; None: as many as there are slots."""
        return 1 if self.reproducible else self.parallel

    @property
    def gpus(self) -> float:
        """How many GPUs a trial of it needs: its demand class."""
        return self.resources.gpus

    def to_dict(self) -> dict[str, Any]:
        """The canonical JSON form, itself a study file: `parse(spec.to_dict()) == spec`. What is not set is left
        out.
        """
        form: dict[str, Any] = {
            "study": self.study,
            "objective": self.objective or None,
            "api": self.api or None,
            "command": self.command or None,
            "code": self.code,
            "metric": {"name": self.metric.name, "goal": self.metric.goal},
            "space": self.space.to_dict() or None,
            "learn_space": self.learn_space or None,
            "default": None if self.default is None else dict(self.default),
            "sampler": self.sampler,
            "seed": self.seed,
            "budget": self.budget.to_dict(),
            "pack": self.pack or None,
            "parallel": self.parallel,
            "priority": None if self.priority == 1 else self.priority,
            "resources": self.resources.to_dict(),
            "timeout": self.timeout_s,
            "retry": {"attempts": self.retry_attempts},
            "labels": dict(self.labels) or None,
            "context": dict(self.context) or None,
            "schedule": None if self.schedule is None else self.schedule.to_dict(),
            "stop_early": None if self.stop_early is None else to_dict(self.stop_early),
            "keep_model": self.keep_model or None,
            "reproducible": self.reproducible or None,
            "proposers": None if self.proposed_share == PROPOSED_SHARE else {"share": self.proposed_share},
            "stop_study": None if self.stop_study is None else self.stop_study.to_dict(),
        }
        return {key: value for key, value in form.items() if value is not None}


def difference(a: StudySpec, b: StudySpec) -> list[str]:
    """What differs from `a` to `b`, a line a key: `budget.trials: 60 -> 80`; empty when they are the same."""
    before, after = dict(_leaves(a.to_dict())), dict(_leaves(b.to_dict()))
    keys = [*before, *(key for key in after if key not in before)]
    unset = "(not set)"
    return [
        f"{key}: {before.get(key, unset)} -> {after.get(key, unset)}"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _leaves(form: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Each key path of a form with its value as JSON."""
    for key, value in form.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{path}{key}.")
        elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
            yield from _leaves({str(i): each for i, each in enumerate(value)}, f"{path}{key}.")
        else:
            yield f"{path}{key}", json.dumps(value, sort_keys=True)


def form_of_slice(form: Mapping[str, Any], slice_: Mapping[str, Any]) -> dict[str, Any]:
    """A study's spec for one slice of its schedule's, both in canonical form: its own values over the study's.

    Of the slices of a list only this one is left, as the cron line and the time zone of the schedule in it.
    """
    form = _routed(form, slice_)
    plan = form.get("schedule")
    given = plan.get("slices") if isinstance(plan, Mapping) else None
    if not isinstance(plan, Mapping) or not isinstance(given, (list, tuple)):
        return dict(form)
    own: Mapping[str, Any] = next(
        (each for each in given if all(each.get(key) == value for key, value in slice_.items())), {}
    )
    made = dict(form)
    for key in OF_A_SLICE & own.keys():
        both = isinstance(own[key], Mapping) and isinstance(form.get(key), Mapping)
        made[key] = {**form[key], **own[key]} if both else own[key]
    times = {key: own[key] for key in ("cron", "timezone") if key in own}
    made["schedule"] = {**{key: value for key, value in plan.items() if key != "slices"}, **times}
    return _routed(made, slice_)


def _routed(form: Mapping[str, Any], slice_: Mapping[str, Any]) -> dict[str, Any]:
    """The form, with the slice's own values where a label of its resources is the name of one: `$region`."""
    asked = form.get("resources")
    labels = asked.get("labels") if isinstance(asked, Mapping) else None
    if not isinstance(asked, Mapping) or not isinstance(labels, Mapping):
        return dict(form)
    values = {f"${key}": str(value) for key, value in slice_.items()}
    routed = {key: values.get(str(label), label) for key, label in labels.items()}
    return {**form, "resources": {**asked, "labels": routed}}
