"""Study and schedule files: YAML or plain mappings in, validated specs out.

Promise: a spec that exists is sound, and a file that is not is refused whole, with one line for each thing that is
wrong: `study.yaml: space.lr.float: the range [1, 0.1] is inverted: write the lower bound first (line 7)`. Nothing
in a file is ever ignored: an unknown key names the nearest known one, and a key of a later version is refused by name.

YAML is read as version 1.2 with its core schema, whatever the file says: `1e-4` and `1e4` are numbers, `on`, `no` and
`yes` are words, `1:30` and `2026-11-23` are text, `012` is 12.
"""

import itertools
import json
import keyword
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from celeriac.errors import SpaceInvalid, SpecInvalid
from celeriac.records import Goal
from celeriac.samplers import AUTO, EXPECTING, name_flaw
from celeriac.space import Space, is_name, nearest, same, show
from celeriac.stop_rules import (
    RULES,
    SECONDS,
    STEP,
    Asha,
    Hyperband,
    Median,
    Patience,
    StopRule,
    StopStudy,
    Threshold,
    to_dict,
)

Scalar = str | int | float | bool

OUR_NAMES = frozenset({"celeriac", "coordinator", "worker", "migrations"})

_KEYS = frozenset(
    {"study", "objective", "code", "metric", "space", "default", "sampler", "seed", "budget"}
    | {"stop_early", "stop_study", "parallel", "resources", "timeout", "retry", "labels", "schedule"}
)
_SCHEDULE_KEYS = frozenset({"name", "cron", "timezone", "slices"})
# What the design has and this version has not: refused by name, so that nobody believes that it is at work.
_LATER_BUDGET_KEYS = frozenset({"gpu_hours"})
_LATER_SCHEDULE_KEYS = frozenset({"warm_start", "promote", "catch_up", "overlap", "deadline"})
_NOT_BUILT = "is not built yet in this version"

_STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FIRING_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/=:+,-]{0,254}")
_SLICE_TEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,59}")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([smhd])")
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_S = 3650 * 86400.0
_MOST_TRIALS = 1_000_000
_MOST_SLICES = 1000
_MOST_RESOURCE = 10**15
_MOST_BYTES = 1_000_000
_DEEPEST = 20  # levels of nesting; a study has five


def is_study_name(name: object) -> bool:
    """Whether this can name a study in the store: a file's `study`, or what a firing makes of it with `/ = : + ,` (255 at most).

    A file itself may use letters, digits, `.`, `_` and `-` only, 100 at most.
    """
    return isinstance(name, str) and _FIRING_NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Metric:
    """What the score is called, and whether more of it is better."""

    name: str
    goal: Goal


@dataclass(frozen=True, slots=True)
class Budget:
    """How many finished trials, exactly; and how long at most from the study's start, in seconds (None: no limit)."""

    trials: int
    wall_s: float | None = None


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """When a study runs again (five cron fields in a time zone), and for which slices."""

    name: str
    cron: str
    timezone: str = "UTC"
    slices: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)

    def combinations(self) -> list[dict[str, Scalar]]:
        """The slices: every combination of the values of the slice keys; without keys, the one empty slice."""
        return [
            dict(zip(self.slices, values, strict=True)) for values in itertools.product(*self.slices.values())
        ]


@dataclass(frozen=True, slots=True)
class StudySpec:
    """A study as its file describes it, every default filled in; `parse` and `load` make it.

    `gpus` 0 runs on any slot, 1 only on a GPU's. `seed`, where the file gives none, follows from the study's name.
    `default`, if given, is trial 0. The grid sampler takes 10 values of a continuous float, all values of the rest.
    `timeout_s` is a trial's, `budget.wall_s` the study's; None is no limit.
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
    gpus: int
    timeout_s: float | None
    retry_attempts: int
    labels: Mapping[str, str]
    schedule: ScheduleSpec | None
    stop_early: StopRule | None = None
    stop_study: StopStudy | None = None

    def to_dict(self) -> dict[str, Any]:
        """The canonical JSON form, itself a study file: `parse(spec.to_dict()) == spec`. What is not set is left out."""
        form: dict[str, Any] = {
            "study": self.study,
            "objective": self.objective,
            "code": self.code,
            "metric": {"name": self.metric.name, "goal": self.metric.goal},
            "space": self.space.to_dict(),
            "default": None if self.default is None else dict(self.default),
            "sampler": self.sampler,
            "seed": self.seed,
            "budget": {"trials": self.budget.trials},
            "parallel": self.parallel,
            "resources": {"gpus": self.gpus},
            "timeout": self.timeout_s,
            "retry": {"attempts": self.retry_attempts},
            "labels": dict(self.labels) or None,
            "schedule": None if self.schedule is None else _schedule_to_dict(self.schedule),
            "stop_early": None if self.stop_early is None else to_dict(self.stop_early),
            "stop_study": None if self.stop_study is None else self.stop_study.to_dict(),
        }
        if self.budget.wall_s is not None:
            form["budget"]["wall"] = self.budget.wall_s
        return {key: value for key, value in form.items() if value is not None}


def load(path: str | Path, *, name: str | None = None) -> StudySpec:
    """The spec of a YAML file; `name` replaces the study's name in it.

    Raises SpecInvalid, one line for each thing that is wrong with the file, its YAML or its content.
    """
    source = str(path)
    document, lines = _read_yaml(_text_of(Path(path), source), source)
    return _parse(document, source, lines, name)


def parse(mapping: Mapping[str, Any], source: str = "study", *, name: str | None = None) -> StudySpec:
    """The spec of a mapping shaped like a study file; `space` may be a `Space`. `source` leads each error's line.

    Raises SpecInvalid, one line for each thing that is wrong.
    """
    return _parse(mapping, source, {}, name)


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


def stop_rule(spec: Mapping[str, Any]) -> StopRule | None:
    """The rule of early stopping in a spec's canonical form (`StudySpec.to_dict`), without reading the rest of it.

    Raises SpecInvalid when this version cannot read it.
    """
    problems = _Problems("study", {})
    rule = _stop_early(_Section({"stop_early": spec.get("stop_early")}, "", problems, {"stop_early"}))
    if problems.found:
        raise SpecInvalid(problems.found)
    return rule


def seed_of(study: str) -> int:
    """The seed of a study whose file gives none: the same for the same name, on every machine."""
    return int.from_bytes(sha256(study.encode()).digest()[:4], "big")


def _leaves(form: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Each key path of a form with its value as JSON."""
    for key, value in form.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", json.dumps(value, sort_keys=True)


def _schedule_to_dict(schedule: ScheduleSpec) -> dict[str, Any]:
    form: dict[str, Any] = {"name": schedule.name, "cron": schedule.cron, "timezone": schedule.timezone}
    if schedule.slices:
        form["slices"] = {key: list(values) for key, values in schedule.slices.items()}
    return form


# Reading sections. Each reader notes what is wrong and goes on with a stand-in, so that one reading shows everything;
# `_parse` raises before a stand-in can get out.


@dataclass(slots=True)
class _Problems:
    """What is wrong so far, each led by file and key path, ended by the line where that is known."""

    source: str
    lines: Mapping[str, int]
    found: list[str] = field(default_factory=list)

    def add(self, path: str, text: str) -> None:
        where = path
        while where and where not in self.lines:
            where = where.rpartition(".")[0]
        line = f" (line {self.lines[where]})" if where else ""
        self.found.append(": ".join(part for part in (self.source, path, text) if part) + line)


class _Section:
    """One mapping of the file: typed reads of its keys, each of which notes what is wrong with the value."""

    def __init__(
        self,
        content: object,
        path: str,
        problems: _Problems,
        known: Iterable[str],
        later: frozenset[str] = frozenset(),
    ) -> None:
        self.path, self.problems = path, problems
        self.content: Mapping[Any, Any] = content if isinstance(content, Mapping) else {}
        known = frozenset(known)
        if content is not None and not isinstance(content, Mapping):
            problems.add(path, f"must be a mapping with {', '.join(sorted(known))}, not {show(content)}")
        for key in self.content:
            if key in later:
                self.fail(key, f"{_NOT_BUILT}; leave it out")
            elif key not in known:
                self.fail(key, f"is not known here; {nearest(key, known)}")

    def fail(self, key: object, text: str) -> None:
        self.problems.add(f"{self.path}.{key}" if self.path else str(key), text)

    def get(self, key: str) -> Any:
        """The raw value; a key without a value is one that is not there."""
        return self.content.get(key)

    def section(self, key: str, known: Iterable[str], later: frozenset[str] = frozenset()) -> "_Section":
        path = f"{self.path}.{key}" if self.path else key
        return _Section(self.get(key), path, self.problems, known, later)

    def required(self, key: str, example: str) -> bool:
        if self.get(key) is None:
            self.fail(key, f"is missing; write it, such as `{key}: {example}`")
        return self.get(key) is not None

    def text(self, key: str, default: str) -> str:
        value = self.get(key)
        if value is None:
            return default
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            self.fail(key, f"must be text on one line, not {show(value)}")
            return default
        return value

    def word(self, key: str, known: Iterable[str], default: str) -> str:
        value = self.get(key)
        if value is None or value in tuple(known):
            return default if value is None else str(value)
        self.fail(key, f"cannot be {show(value)}; {nearest(value, known)}")
        return default

    def whole(self, key: str, low: int, high: int, default: int) -> int:
        value = self.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
            self.fail(key, f"must be a whole number, not {show(value)}")
        elif not low <= value <= high:
            self.fail(key, f"must be from {low} to {high}, not {show(value)}")
        else:
            return int(value)
        return default

    def number(self, key: str, low: float = -math.inf) -> float | None:
        """A finite number of at least `low`, or None where there is none."""
        value = self.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            self.fail(key, f"must be a number, not {show(value)}")
        elif value < low:
            self.fail(key, f"must be {low:g} or more, not {show(value)}")
        else:
            return float(value)
        return None

    def amount(self, key: str, low: int, default: int, *, of: str) -> int:
        """A whole number of a resource; of seconds also as a time such as 10m."""
        value = self.get(key)
        if of == SECONDS and isinstance(value, str) and (seconds := _seconds(value)) is not None:
            return _Section({key: seconds}, self.path, self.problems, {key}).whole(
                key, low, _MOST_RESOURCE, default
            )
        return self.whole(key, low, _MOST_RESOURCE, default)

    def seconds(self, key: str) -> float | None:
        value = self.get(key)
        if value is None:
            return None
        seconds = _seconds(value)
        if seconds is None:
            self.fail(
                key, f"must be a time such as 30s, 10m, 2h, 1d or a number of seconds, not {show(value)}"
            )
        elif not 0 < seconds <= _LONGEST_S:
            self.fail(key, f"must be above 0 and at most 3650d, not {show(value)}")
        else:
            return seconds
        return None


def _seconds(value: object) -> float | None:
    """A duration in seconds; None where it is none."""
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        return float(found[1]) * _UNIT_S[found[2]] if found else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return None
    return float(value) if abs(value) < _LONGEST_S * 2 else math.inf


def _parse(document: object, source: str, lines: Mapping[str, int], name: str | None) -> StudySpec:
    problems = _Problems(source, lines)
    if not isinstance(document, Mapping):
        problems.add(
            "", f"must be a mapping with study, objective, metric, space and budget, not {show(document)}"
        )
        raise SpecInvalid(problems.found)
    top = _Section(document, "", problems, _KEYS)
    study = _study_name(top, name)
    objective = _objective(top)
    metric = _metric(top)
    space = _space(top)
    default = _default(top, space)
    sampler = _sampler(top)
    seed = top.whole("seed", 0, 2**32 - 1, seed_of(study))
    budget = _budget(top)
    parallel = top.whole("parallel", 1, _MOST_TRIALS, 0) or None
    gpus = _gpus(top)
    attempts = top.section("retry", {"attempts"}).whole("attempts", 1, 100, 3)
    labels = _labels(top)
    schedule = _schedule(top, study)
    stop_early, stop_study = _stop_early(top), _stop_study(top, sampler)
    code, timeout_s = top.text("code", "."), top.seconds("timeout")
    if problems.found or space is None:
        raise SpecInvalid(problems.found)
    return StudySpec(
        study=study,
        objective=objective,
        code=code,
        metric=metric,
        space=space,
        default=default,
        sampler=sampler,
        seed=seed,
        budget=budget,
        parallel=parallel,
        gpus=gpus,
        timeout_s=timeout_s,
        retry_attempts=attempts,
        labels=labels,
        schedule=schedule,
        stop_early=stop_early,
        stop_study=stop_study,
    )


def _study_name(top: _Section, name: str | None) -> str:
    """The study's name: the caller's, else the file's, else its schedule's."""
    schedule = top.get("schedule")
    from_schedule = schedule.get("name") if isinstance(schedule, Mapping) else None
    own = top.get("study") if name is None else name
    value = from_schedule if own is None else own
    if isinstance(value, str) and _STUDY_NAME.fullmatch(value):
        return value
    if value is None:
        top.required("study", "digits")
    elif own is not None:  # a schedule's name is judged where schedules are
        top.fail("study", _name_rule(value))
    return ""


def _name_rule(value: object) -> str:
    return f"must be a letter or digit, then letters, digits, '.', '_' or '-', 100 at most, not {show(value)}"


def _objective(top: _Section) -> str:
    value = top.get("objective")
    if not top.required("objective", "train:objective"):
        return ""
    module, _, function = value.partition(":") if isinstance(value, str) else ("", "", "")
    parts = [*module.split("."), function]
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
        top.fail("objective", f"must be module:function, such as train:objective, not {show(value)}")
    elif parts[0] in OUR_NAMES:
        top.fail("objective", f"the module name {parts[0]!r} is taken by Celeriac itself; rename your module")
    return str(value)


def _metric(top: _Section) -> Metric:
    if top.required("metric", "{name: accuracy, goal: maximize}") and isinstance(top.get("metric"), Mapping):
        section = top.section("metric", {"name", "goal"})
        section.required("goal", "maximize")
        goal = section.word("goal", ("maximize", "minimize"), "maximize")
        return Metric(section.text("name", "score"), cast(Goal, goal))
    top.section("metric", {"name", "goal"})
    return Metric("score", "maximize")


def _space(top: _Section) -> Space | None:
    value = top.get("space")
    if isinstance(value, Space):
        return value
    if not top.required("space", "{lr: {float: [0.001, 0.1], log: true}}"):
        return None
    try:
        return Space.from_dict(value)
    except SpaceInvalid as error:
        _add_all(top, "space", error)
        return None


def _add_all(top: _Section, key: str, error: SpaceInvalid) -> None:
    """Each problem of a space, its path put behind the file's key."""
    for problem in error.problems:
        path, colon, text = problem.partition(": ")
        if colon and " " not in path:
            top.fail(f"{key}.{path}", text)
        else:
            top.fail(key, problem)


def _default(top: _Section, space: Space | None) -> dict[str, Any] | None:
    value = top.get("default")
    if value is None or space is None:
        return None
    try:
        return space.validate(value)
    except SpaceInvalid as error:
        _add_all(top, "default", error)
        return None


def _sampler(top: _Section) -> str:
    value = top.get("sampler")
    flaw = "" if value is None else name_flaw(value)
    if flaw:
        top.fail("sampler", flaw)
    return AUTO if value is None or flaw else str(value)


def _budget(top: _Section) -> Budget:
    section = top.section("budget", {"trials", "wall"}, _LATER_BUDGET_KEYS)
    if top.required("budget", "{trials: 60}") and isinstance(top.get("budget"), Mapping):
        section.required("trials", "60")
    return Budget(section.whole("trials", 1, _MOST_TRIALS, 1), section.seconds("wall"))


def _gpus(top: _Section) -> int:
    section = top.section("resources", {"gpus"})
    value = section.get("gpus")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 and value != 1:
        what = "a share of a GPU" if value < 1 else "more than one GPU a trial"
        section.fail("gpus", f"{show(value)}: {what} {_NOT_BUILT}; write 0 or 1")
        return 0
    return section.whole("gpus", 0, 1, 0)


def _labels(top: _Section) -> dict[str, str]:
    value = top.get("labels")
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        top.fail("labels", f"must be a mapping of words to text, not {show(value)}")
        return {}
    labels = {}
    for key, label in value.items():
        if not is_name(key) or isinstance(label, bool) or not isinstance(label, (str, int)):
            top.fail(f"labels.{key}", f"must be a word with a text, not {show(label)}")
        else:
            labels[str(key)] = str(label)
    return labels


def _schedule(top: _Section, study: str) -> ScheduleSpec | None:
    if top.get("schedule") is None:
        return None
    section = top.section("schedule", _SCHEDULE_KEYS, _LATER_SCHEDULE_KEYS)
    if not isinstance(top.get("schedule"), Mapping):
        return None
    given = section.get("name")
    name = study if given is None else given
    if (given is not None or study) and not (isinstance(name, str) and _STUDY_NAME.fullmatch(name)):
        section.fail("name", _name_rule(name))
    cron = ""
    if section.required("cron", '"0 2 * * *"'):
        cron = _cron(section)
    return ScheduleSpec(str(name), cron, _timezone(section), _slices(section))


def _stop_early(top: _Section) -> StopRule | None:
    """The rule, with the keys that are its own."""
    given = top.get("stop_early")
    if given is None:
        return None
    if not isinstance(given, Mapping):
        top.fail("stop_early", f"must be a mapping, such as {{rule: asha, max: 27}}, not {show(given)}")
        return None
    named = given.get("rule")
    kind = RULES.get(named) if isinstance(named, str) else None
    if kind is None:
        section = top.section("stop_early", _STOP_KEYS | {"rule"})
        section.required("rule", "asha")
        section.word("rule", RULES, "asha")
        return None
    section = top.section("stop_early", {"rule", *kind.__dataclass_fields__})
    resource = section.text("resource", STEP)
    if kind is Median:
        return Median(
            section.amount("min", 0, 1, of=resource),
            section.amount("every", 1, 1, of=resource),
            section.whole("trials", 1, _MOST_TRIALS, 5),
            resource,
        )
    if kind is Patience:
        section.required("reports", "5")
        reports = section.whole("reports", 1, _MOST_TRIALS, 5)
        least = section.amount("min", 0, 0, of=resource)
        return Patience(reports, section.number("min_delta", 0.0) or 0.0, least, resource)
    if kind is Threshold:
        bounded = section.required("at", "5"), section.required("bound", "0.5")
        at, bound = section.amount("at", 0, 1, of=resource), section.number("bound")
        return Threshold(at, bound, resource) if all(bounded) and bound is not None else None
    return _halving(section, Hyperband if kind is Hyperband else Asha, resource)


_STOP_KEYS = frozenset(key for kind in RULES.values() for key in kind.__dataclass_fields__)


def _halving(section: _Section, kind: type[Asha] | type[Hyperband], resource: str) -> StopRule | None:
    """Rungs from `min` to below `max`, of which there must be one."""
    eta = section.whole("eta", 2, 100, 3)
    if not section.required("max", "27"):
        return None
    most = section.amount("max", 1, 0, of=resource)
    least = section.amount("min", 1, max(1, -(-most // eta**2)), of=resource)
    if 0 < most <= least:
        section.fail("max", f"must be above min ({least}), or there is no rung below it, not {most}")
    return kind(least, most, eta, resource)


def _stop_study(top: _Section, sampler: str) -> StopStudy | None:
    """Reasons to end the study; those that the sampler must know of are refused where it knows none."""
    if top.get("stop_study") is None:
        return None
    section = top.section("stop_study", StopStudy.__dataclass_fields__)
    stop = StopStudy(
        section.number("target"),
        section.number("min_gain", 0.0),
        section.number("max_regret", 0.0),
        section.whole("suggestions", 1, _MOST_TRIALS, 10),
    )
    for key in ("min_gain", "max_regret"):
        if section.get(key) is not None and sampler not in EXPECTING:
            section.fail(
                key, f"the {sampler} sampler expects nothing of a suggestion; take `sampler: bayesian`"
            )
    if not set(section.content) - {"suggestions"}:
        top.fail("stop_study", "names no reason; write target, min_gain or max_regret")
    return stop


def _cron(section: _Section) -> str:
    """Five cron fields that do come due at some time."""
    from cronsim import CronSim, CronSimError  # only schedules pay for it

    fields = str(section.get("cron")).split()
    cron = " ".join(fields)
    if len(fields) != 5:
        section.fail("cron", f"needs five fields (minute hour day month weekday), not {show(cron)}")
        return cron
    try:
        next(CronSim(cron, datetime(2026, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        section.fail("cron", f"{show(cron)}: {str(error).lower()}")
    except StopIteration:
        section.fail("cron", f"{show(cron)} never comes due")
    return cron


def _timezone(section: _Section) -> str:
    """A name of the IANA time zone database; UTC if none is given."""
    import zoneinfo  # reads files; only schedules pay for it

    name = section.text("timezone", "UTC")
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        close = nearest(name, zoneinfo.available_timezones())
        hint = close if close.startswith("did") else "write an IANA name such as Europe/Berlin or UTC"
        section.fail("timezone", f"there is no time zone {show(name)}; {hint}")
    return name


def _slices(section: _Section) -> dict[str, tuple[Scalar, ...]]:
    """The values of each slice key; small and plain enough that every combination can be part of a study's name."""
    content = section.get("slices")
    if content is None:
        return {}
    if not isinstance(content, Mapping) or not content:
        section.fail(
            "slices",
            f"must be a mapping of names to lists, such as {{region: [eu, us]}}, not {show(content)}",
        )
        return {}
    slices: dict[str, tuple[Scalar, ...]] = {}
    for key, values in content.items():
        before = len(section.problems.found)
        for text in _slice_flaws(key, values):
            section.fail(f"slices.{key}", text)
        if len(section.problems.found) == before:
            slices[key] = tuple(values)
    count = math.prod(len(values) for values in slices.values())
    longest = sum(len(key) + 2 + max(len(str(v)) for v in values) for key, values in slices.items())
    if count > _MOST_SLICES:
        section.fail("slices", f"make {count} studies a firing; {_MOST_SLICES} at most")
    if longest > 100:
        section.fail(
            "slices", f"make names of up to {longest} characters; 100 at most, so shorten keys or values"
        )
    return slices


def _slice_flaws(key: object, values: object) -> Iterator[str]:
    if not (isinstance(key, str) and _SLICE_TEXT.fullmatch(key)):
        yield f"a slice key is letters, digits, '.', '_', '+' or '-', 60 at most, not {show(key)}"
    if not isinstance(values, (list, tuple)) or not values:
        yield f"needs a list of at least one value, not {show(values)}"
        return
    for i, value in enumerate(values):
        if isinstance(value, str) and not _SLICE_TEXT.fullmatch(value):
            yield f"{show(value)}: a value's text is letters, digits, '.', '_', '+' or '-', 60 at most"
        elif not isinstance(value, (str, int, float)) or (
            isinstance(value, float) and not math.isfinite(value)
        ):
            yield f"{show(value)} is no text, number or boolean"
        elif any(same(value, earlier) for earlier in values[:i]):
            yield f"{show(value)} is there twice"


# YAML


def _text_of(path: Path, source: str) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            raise SpecInvalid(f"{source}: is larger than {_MOST_BYTES} bytes: that is no study file")
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise SpecInvalid(f"{source}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SpecInvalid(
            f"{source}: is no UTF-8 text (byte {error.start}): that is no study file"
        ) from error


def _read_yaml(text: str, source: str) -> tuple[object, dict[str, int]]:
    """The document, and the line of each key path in it.

    Raises SpecInvalid for what is no YAML, for duplicate keys, tags, and more than one document.
    """
    # Imported here, so that only who reads a file pays for it.
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    reader = _YamlReader(source)
    try:
        # Events, not ruamel's own values: they tell plain from quoted text, and know the lines.
        document = reader.document(YAML(typ="safe", pure=True).parse(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" (line {mark.line + 1})" if mark else ""
        raise SpecInvalid(f"{source}: is no YAML: {error.problem or error.context}{line}") from error
    except YAMLError as error:
        raise SpecInvalid(f"{source}: is no YAML: {str(error).splitlines()[0]}") from error
    if reader.problems:
        raise SpecInvalid(reader.problems)
    return document, reader.lines


class _YamlReader:
    """Builds values from parser events by the core schema of YAML 1.2, noting the line of each key path."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[str] = []
        self.lines: dict[str, int] = {}
        self._anchors: dict[str, object] = {}
        self._depth = 0

    def document(self, events: Iterator[Any]) -> object:
        """The one document of a stream; None when it is empty."""
        found: list[object] = []
        for event in events:
            if type(event).__name__ == "DocumentStartEvent":
                if found:
                    self._note(event, "a second document begins; a study file holds one")
                found.append(self._value(next(events), events, ""))
        return found[0] if found else None

    def _value(self, event: Any, events: Iterator[Any], path: str) -> object:
        kind = type(event).__name__
        if kind == "AliasEvent":
            if event.anchor not in self._anchors:
                self._note(event, f"the alias *{event.anchor} has no anchor &{event.anchor} before it")
            return self._anchors.get(event.anchor)
        if event.tag is not None:
            self._note(event, "a tag (!…) has no meaning here; write text in quotes, numbers plain")
        value: object
        self._depth += 1
        if self._depth > _DEEPEST:
            raise SpecInvalid(f"{self.source}: is nested too deeply for a study file")
        if kind == "MappingStartEvent":
            value = self._mapping(events, path)
        elif kind == "SequenceStartEvent":
            value = self._sequence(events, path)
        else:
            value = self._scalar(event)
        self._depth -= 1
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        return value

    def _mapping(self, events: Iterator[Any], path: str) -> dict[Any, object]:
        found: dict[Any, object] = {}
        first: dict[Any, int] = {}
        for event in events:
            if type(event).__name__ == "MappingEndEvent":
                break
            line = event.start_mark.line + 1
            key = self._value(event, events, path)
            if isinstance(key, (dict, list)):
                self._note(event, "a key must be a word")
                key = None
            where = f"{path}.{key}" if path else str(key)
            if key in found:
                self._note(event, f"{where}: the key is there twice (first on line {first[key]})")
            else:
                first[key] = self.lines[where] = line
            found[key] = self._value(next(events), events, where)
        return found

    def _sequence(self, events: Iterator[Any], path: str) -> list[object]:
        found: list[object] = []
        for event in events:
            if type(event).__name__ == "SequenceEndEvent":
                break
            found.append(self._value(event, events, path))
        return found

    def _scalar(self, event: Any) -> Scalar | None:
        if event.style is not None:  # quoted or a block: always text
            return str(event.value)
        try:
            return plain_scalar(event.value)
        except ValueError:  # more digits than Python will read
            self._note(event, f"{show(event.value)} has too many digits")
            return None

    def _note(self, event: Any, text: str) -> None:
        self.problems.append(f"{self.source}: {text} (line {event.start_mark.line + 1})")


_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_BASED_INT = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def plain_scalar(text: str) -> Scalar | None:
    """What unquoted text means: the core schema, https://yaml.org/spec/1.2.2/#103-core-schema."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    if _BASED_INT.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _NO_NUMBER.fullmatch(text):
        return float(text.replace(".", ""))
    return text
