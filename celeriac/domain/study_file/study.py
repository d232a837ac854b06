"""The study's own keys, from the top of a file down: `load` reads one, `parse` a mapping, and both refuse it whole or
make a spec.

Rule: every key is read, also when one before it is wrong, in the order of a file; so that one reading tells all.
"""

import keyword
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from celeriac.domain.errors import SpaceInvalid, SpecInvalid
from celeriac.domain.records import Goal
from celeriac.domain.sampler_names import AUTO, name_flaw
from celeriac.domain.space import Choice, Space, is_name, nearest, show
from celeriac.domain.stop_rules import RULES
from celeriac.domain.study_file.calls import APIS, OPTUNA, command_flaws
from celeriac.domain.study_file.gating import flag
from celeriac.domain.study_file.names import seed_of, study_name_flaw
from celeriac.domain.study_file.packing import no_packs, pack
from celeriac.domain.study_file.resources import labels, no_slice, resources
from celeriac.domain.study_file.schedule import clashes, schedule, times
from celeriac.domain.study_file.section import Problems, Section
from celeriac.domain.study_file.specs import (
    LEAST_DEVICE_HOURS,
    MOST_TRIALS,
    PROPOSED_SHARE,
    Budget,
    Metric,
    ScheduleSpec,
    StudySpec,
    form_of_slice,
)
from celeriac.domain.study_file.stops import population_clashes, stop_early, stop_study, within_population
from celeriac.domain.study_file.yaml import Scalar, read, read_text

if TYPE_CHECKING:
    from pathlib import Path

OUR_NAMES = frozenset({"celeriac", "coordinator", "worker", "migrations"})

_KEYS = frozenset(
    {"study", "objective", "code", "metric", "space", "default", "sampler", "seed", "budget"}
    | {
        "api",
        "command",
        "learn_space",
        "stop_early",
        "stop_study",
        "keep_model",
        "proposers",
        "pack",
        "parallel",
        "priority",
        "reproducible",
        "resources",
        "timeout",
        "retry",
        "labels",
        "context",
        "schedule",
    }
)
#: A study of the largest weight gets so many times what one of the smallest gets.
LEAST_PRIORITY, MOST_PRIORITY = 0.01, 100.0
BEST, ALL = "best", "all"  # whose models are kept
_STAND_IN = Space({"none": Choice((None,))})  # where a file has no sound space, and so makes no spec


def load(path: "str | Path", *, name: str | None = None) -> StudySpec:
    """The spec of a YAML file; `name` replaces the study's name in it.

    Raises SpecInvalid, one line for each thing that is wrong with the file, its YAML or its content.
    """
    from pathlib import Path  # only who reads a file pays for it

    source = str(path)
    document, lines = read(Path(path), source)
    return _parse(document, source, lines, name, is_new=True)


def loads(text: str, source: str = "file", *, name: str | None = None) -> StudySpec:
    """The spec of a study file's text; `name` replaces the study's name in it. Raises SpecInvalid as `load` does."""
    document, lines = read_text(text, source)
    return _parse(document, source, lines, name, is_new=True)


def parse(
    mapping: Mapping[str, Any], source: str = "study", *, name: str | None = None, is_new: bool = False
) -> StudySpec:
    """The spec of a mapping shaped like a study file; `space` may be a `Space`. `source` leads each error's line.

    `is_new`: not one that a store kept, which may be of a time when less was refused. Raises SpecInvalid, one line for
    each thing that is wrong.
    """
    return _parse(mapping, source, {}, name, is_new=is_new)


def _parse(document: object, source: str, lines: Mapping[str, int], name: str | None, *, is_new: bool) -> StudySpec:
    problems = Problems(source, lines)
    if not isinstance(document, Mapping):
        got = "and is empty" if document is None else f"not {show(document)}"
        problems.add("", f"must be a mapping with study, objective, metric, space and budget, {got}")
    problems.raise_any()
    top = Section(document, "", problems, _KEYS)
    spec = _spec(top, name)
    if is_new:
        clashes(top, spec)
        population_clashes(top, spec)
        no_slice(top, spec.resources, slices=_slice_keys(spec.schedule))
        no_packs(top, spec)
    problems.raise_any()
    if is_new and spec.schedule is not None:
        times(top, spec.schedule)
        _each_slice(top, spec, spec.schedule)
        problems.raise_any()
    return spec


def _slice_keys(plan: ScheduleSpec | None) -> set[str]:
    return set() if plan is None else {key for slice_ in plan.combinations()[:1] for key in slice_}


def _each_slice(top: Section, spec: StudySpec, plan: ScheduleSpec) -> None:
    """Note what is wrong with the specs of the slices' studies."""
    form = spec.to_dict()
    for i, each in enumerate(plan.listed):
        path = f"schedule.slices.{i}"
        for key in each.changes.get("space", ()) if isinstance(each.changes.get("space"), Mapping) else ():
            if key not in spec.space.parameters:
                top.fail(f"{path}.space.{key}", f"is no parameter of the study; {nearest(key, spec.space.parameters)}")
        try:
            made = _parse(form_of_slice(form, each.values), "", {}, None, is_new=False)
            no_slice(top, made.resources, f"{path}.resources")
            no_packs(top, made)
        except SpecInvalid as error:
            for problem in error.problems:
                where, _, text = problem.partition(": ")
                if not where.startswith("schedule."):  # `times` says those
                    top.fail(f"{path}.{where}", text)


def _spec(top: Section, name: str | None) -> StudySpec:
    """Every key, in the order in which their problems are told; only sound when none was noted."""
    study = _study_name(top, name)
    objective, metric, api = _objective(top), _metric(top), top.word("api", APIS, "")
    learns = _learns_space(top, api)
    space = _space(top, may_lack=learns)
    command = _command(top, space)
    default, sampler = _default(top, space), _sampler(top)
    spec = StudySpec(
        study=study,
        objective=objective,
        metric=metric,
        space=space or _STAND_IN,
        default=default,
        sampler=sampler,
        seed=top.whole("seed", 0, 2**32 - 1, seed_of(study)),
        budget=_budget(top),
        parallel=top.whole("parallel", 1, MOST_TRIALS, 0) or None,
        resources=resources(top),
        retry_attempts=top.section("retry", {"attempts"}).whole("attempts", 1, 100, 3),
        labels=labels(top),
        context=_context(top),
        schedule=schedule(top, study),
        stop_early=stop_early(top),
        stop_study=stop_study(top, sampler),
        code=top.text("code", "."),
        timeout_s=top.seconds("timeout"),
        keep_model=_keep_model(top),
        priority=_priority(top),
        reproducible=_reproducible(top, sampler),
        proposed_share=_proposed_share(top),
        api=api,
        command=command,
        learn_space=learns,
        pack=pack(top),
    )
    return within_population(spec)


def _learns_space(top: Section, api: str) -> bool:
    """Whether the space takes in what the objective asks for: where it says so, and where there is no space."""
    asked = flag(top, "learn_space") if "learn_space" in top.content else api == OPTUNA and top.get("space") is None
    if asked and api != OPTUNA:
        top.fail("learn_space", "needs an objective that asks for its parameters: write `api: optuna` beside it")
    if asked and top.get("default") is not None and top.get("space") is None:
        top.fail("default", "needs a `space` that names its parameters")
    return asked


def _command(top: Section, space: Space | None) -> str:
    """The command line; "" where an objective is called."""
    if top.get("command") is None:
        return ""
    for key in ("objective", "api"):
        if top.get(key) is not None:
            top.fail(key, "cannot stand beside `command`: leave out one of the two")
    command = top.text("command", "")
    for flaw in command_flaws(command, None if space is None else space.names) if command else ():
        top.fail("command", flaw)
    return command


def _reproducible(top: Section, sampler: str) -> bool:
    """Whether a second run makes the same trials; what cannot hold that is refused."""
    if not flag(top, "reproducible"):
        return False
    if sampler == AUTO:
        top.fail("reproducible", "needs a sampler by its name: `auto` chooses by how long trials take")
    if top.whole("parallel", 1, MOST_TRIALS, 1) > 1:
        top.fail("reproducible", "runs one trial at a time, so `parallel` cannot be more than 1")
    return True


def _keep_model(top: Section) -> str:
    """Whose models are kept: `true` is the best trial's."""
    value = top.get("keep_model")
    if value is None or value is False:
        return ""
    return BEST if value is True else top.word("keep_model", (BEST, ALL), "")


def _study_name(top: Section, name: str | None) -> str:
    """The study's name: the caller's, else the file's, else its schedule's."""
    lender = top.get("schedule")
    from_schedule = lender.get("name") if isinstance(lender, Mapping) else None
    own = top.get("study") if name is None else name
    value = from_schedule if own is None else own
    flaw = study_name_flaw(value)
    if not flaw:
        return str(value)
    if value is None:
        top.required("study", "digits")
    elif own is not None:  # a schedule's name is judged where schedules are
        top.fail("study", flaw)
    return ""


def _objective(top: Section) -> str:
    value = top.get("objective")
    if value is None and top.get("command") is not None:
        return ""
    if not top.required("objective", "train:objective"):
        return ""
    module, _, function = value.partition(":") if isinstance(value, str) else ("", "", "")
    parts = [*module.split("."), function]
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
        top.fail("objective", f"must be module:function, such as train:objective, not {show(value)}")
    elif parts[0] in OUR_NAMES:
        top.fail("objective", f"the module name {parts[0]!r} is taken by Celeriac itself; rename your module")
    return str(value)


def _metric(top: Section) -> Metric:
    section = top.section("metric", {"name", "goal"})
    if top.required("metric", "{name: accuracy, goal: maximize}") and isinstance(top.get("metric"), Mapping):
        section.required("goal", "maximize")
    goal = section.word("goal", ("maximize", "minimize"), "maximize")
    return Metric(section.text("name", "score"), cast(Goal, goal))


def _space(top: Section, *, may_lack: bool) -> Space | None:
    value = top.get("space")
    if isinstance(value, Space):
        return value
    if value is None and may_lack:
        return Space.unknown()
    if not top.required("space", "{lr: {float: [0.001, 0.1], log: true}}"):
        return None
    try:
        return Space.from_dict(value)
    except SpaceInvalid as error:
        _add_all(top, "space", error)
        return None


def _add_all(top: Section, key: str, error: SpaceInvalid) -> None:
    """Each problem of a space, its path put behind the file's key."""
    for problem in error.problems:
        path, colon, text = problem.partition(": ")
        if colon and " " not in path:
            top.fail(f"{key}.{path}", text)
        else:
            top.fail(key, problem)


def _default(top: Section, space: Space | None) -> dict[str, Any] | None:
    value = top.get("default")
    if value is None or space is None:
        return None
    try:
        return space.validate(value)
    except SpaceInvalid as error:
        _add_all(top, "default", error)
        return None


def _sampler(top: Section) -> str:
    value = top.get("sampler")
    flaw = "" if value is None else name_flaw(value)
    if isinstance(value, str) and value in RULES:
        flaw = (
            f"cannot be {show(value)}, which stops trials early: write `stop_early: {{rule: {value}}}` beside a sampler"
        )
    if flaw:
        top.fail("sampler", flaw)
    return AUTO if value is None or flaw else str(value)


def _budget(top: Section) -> Budget:
    section = top.section("budget", {"trials", "wall", "device_hours"})
    if top.required("budget", "{trials: 60}") and isinstance(top.get("budget"), Mapping):
        section.required("trials", "60")
    trials, wall_s = section.whole("trials", 1, MOST_TRIALS, 1), section.seconds("wall")
    return Budget(trials, wall_s, section.number("device_hours", LEAST_DEVICE_HOURS))


def _priority(top: Section) -> float:
    """The study's weight on the fleet."""
    value = top.number("priority", LEAST_PRIORITY)
    if value is not None and value > MOST_PRIORITY:
        top.fail("priority", f"must be {MOST_PRIORITY:g} or less, not {show(value)}")
        return 1.0
    return 1.0 if value is None else value


def _proposed_share(top: Section) -> float:
    """Of the study's trials, at most so many come from outside."""
    section = top.section("proposers", {"share"})
    share = section.number("share", 0.0)
    if share is not None and share > 1.0:
        section.fail("share", f"must be from 0 to 1, not {show(share)}")
    return PROPOSED_SHARE if share is None or share > 1.0 else share


def _context(top: Section) -> dict[str, Scalar]:
    context: dict[str, Scalar] = {}
    for key, each in (top.mapping("context", "a mapping of words to plain values") or {}).items():
        if not is_name(key) or not isinstance(each, (str, int, float)) or each != each:
            top.fail(f"context.{key}", f"must be a word with a text, number or boolean, not {show(each)}")
        else:
            context[str(key)] = each
    return context
