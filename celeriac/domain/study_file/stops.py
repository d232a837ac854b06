"""The keys of early ends: `stop_early`, a rule with the keys that are its own, and `stop_study`, reasons to end the
study.

Rule: what a rule means is `celeriac.domain.stop_rules`' to say; here each of its numbers is read, and what could never
stop anything is refused.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import partial
from math import ceil
from typing import Any

from celeriac.domain.records import IF_GIVEN, Resources, RunPlan, Stage
from celeriac.domain.sampler_names import EXPECTING, UNLEARNED
from celeriac.domain.space import nearest, show
from celeriac.domain.stop_rules import (
    RULES,
    STEP,
    Asha,
    Hyperband,
    Median,
    Patience,
    Pbt,
    StopRule,
    StopStudy,
    Threshold,
)
from celeriac.domain.study_file.section import Problems, Section
from celeriac.domain.study_file.specs import MOST_TRIALS, StudySpec


def _keys(kind: type[StopRule]) -> set[str]:
    return {each.name for each in fields(kind)}


_KEYS = frozenset({"rule"}.union(*(_keys(kind) for kind in RULES.values())))


def stop_rule(spec: Mapping[str, Any]) -> StopRule | None:
    """The rule of early stopping in a spec's canonical form (`StudySpec.to_dict`), without reading the rest of it.

    Raises SpecInvalid when this version cannot read it.
    """
    problems = Problems("study", {})
    rule = stop_early(Section({"stop_early": spec.get("stop_early")}, "", problems, {"stop_early"}))
    problems.raise_any()
    return rule


def run_plan(spec: Mapping[str, Any], stage: str | None = None) -> RunPlan:
    """What a spec in its canonical form says of running a trial of a study, of that stage of a firing if it is one's.
    Raises SpecInvalid as `stop_rule` does.

    Of a firing's trials, those that may become champion keep the model that they give: the confirming.
    """
    return RunPlan(
        objective=spec.get("objective", ""),
        api=spec.get("api", ""),
        command=spec.get("command", ""),
        learn_space=spec.get("learn_space", False),
        code=spec.get("code", "."),
        goal=spec["metric"]["goal"],
        seed=spec["seed"],
        timeout_s=spec.get("timeout"),
        retry_attempts=spec["retry"]["attempts"],
        resources=Resources.read(spec.get("resources")),
        labels=spec.get("labels", {}),
        context=spec.get("context", {}),
        timezone=(spec.get("schedule") or {}).get("timezone", "UTC"),
        stop_rule=stop_rule(spec),
        pack=spec.get("pack", 0),
        shape=tuple(sorted(name for name, form in (spec.get("space") or {}).items() if form.get("shape"))),
        keep_model=spec.get("keep_model", "") if stage is None else IF_GIVEN if stage == Stage.CONFIRM else "",
    )


def stop_early(top: Section) -> StopRule | None:
    """The rule of `stop_early`; None where there is none, or where what is wrong with it was noted."""
    given = top.mapping("stop_early", "a mapping, such as {rule: asha, max: 27}")
    if given is None:
        return None
    named = given.get("rule")
    kind = RULES.get(named) if isinstance(named, str) else None
    if kind is None:
        section = top.section("stop_early", _KEYS)
        section.required("rule", "asha")
        section.word("rule", RULES, "asha")
        return None
    section = top.section("stop_early", {"rule", *_keys(kind)})
    return _READERS[kind](section, STEP if kind is Pbt else section.text("resource", STEP))


def _halving(kind: type[Asha] | type[Hyperband], section: Section, resource: str) -> StopRule | None:
    """Rungs from `min` to below `max`, of which there must be one."""
    eta = section.whole("eta", 2, 100, 3)
    if not section.required("max", "27"):
        return None
    most = section.amount("max", 1, 0, of=resource)
    least = section.amount("min", 1, max(1, -(-most // eta**2)), of=resource)
    if 0 < most <= least:
        section.fail("max", f"must be above min ({least}), or there is no rung below it, not {most}")
    return kind(least, most, eta, resource)


def _median(section: Section, resource: str) -> StopRule:
    least, every = section.amount("min", 0, 1, of=resource), section.amount("every", 1, 1, of=resource)
    return Median(least, every, section.whole("trials", 1, MOST_TRIALS, 5), resource)


def _patience(section: Section, resource: str) -> StopRule:
    section.required("reports", "5")
    reports = section.whole("reports", 1, MOST_TRIALS, 5)
    least = section.amount("min", 0, 0, of=resource)
    return Patience(reports, section.number("min_delta", 0.0) or 0.0, least, resource)


def _threshold(section: Section, resource: str) -> StopRule | None:
    bounded = section.required("at", "5"), section.required("bound", "0.5")
    at, bound = section.amount("at", 0, 1, of=resource), section.number("bound")
    return Threshold(at, bound, resource) if all(bounded) and bound is not None else None


def _pbt(section: Section, resource: str) -> StopRule | None:
    """With ready steps from `every` to below `max`, of which there must be one, and a population that has a last
    `quantile`.
    """
    if not all([section.required("every", "5"), section.required("max", "40")]):
        return None
    every, most = section.amount("every", 1, 1, of=resource), section.amount("max", 1, 2, of=resource)
    if most <= every:
        section.fail("max", f"must be above every ({every}), or no trial is ready before its end, not {most}")
    rule = Pbt(
        every,
        most,
        section.whole("population", 2, MOST_TRIALS, 8),
        _between(section, "quantile", 0.01, 0.5, 0.25),
        _between(section, "perturb", 1.001, 100.0, 1.2),
        _between(section, "resample", 0.0, 1.0, 0.25),
        _names(section, "change"),
    )
    if rule.population * rule.quantile < 1:
        least = ceil(1 / rule.quantile)
        section.fail("population", f"of {rule.population} has no last {rule.quantile:g}: write {least} or more")
    return rule


def _between(section: Section, key: str, low: float, high: float, default: float) -> float:
    value = section.number(key, low)
    if value is not None and value > high:
        section.fail(key, f"must be {high:g} or less, not {value:g}")
    return default if value is None else value


def _names(section: Section, key: str) -> tuple[str, ...]:
    value = section.get(key)
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        section.fail(key, f"must be a list of parameters, such as [lr], not {show(value)}")
        return ()
    return tuple(value)


def within_population(spec: StudySpec) -> StudySpec:
    """The spec, with as many trials at once as its population has, where the file does not say how many."""
    rule = spec.stop_early
    return replace(spec, parallel=rule.population) if isinstance(rule, Pbt) and spec.parallel is None else spec


def population_clashes(top: Section, spec: StudySpec) -> None:
    """Note what a new study with a population cannot hold: parameters that are none, a sampler that would learn from
    heirs as if their parameters alone had made them, more trials at once than members, a schedule.
    """
    rule = spec.stop_early
    if not isinstance(rule, Pbt):
        return
    for name in rule.change:
        if name not in spec.space.parameters:
            top.fail("stop_early.change", f"{show(name)} is no parameter; {nearest(name, spec.space.parameters)}")
    if spec.sampler not in UNLEARNED:
        known = ", ".join(UNLEARNED)
        top.fail(
            "sampler", f"cannot be {spec.sampler} beside `rule: pbt`, whose members learn from each other: {known}"
        )
    if spec.parallel is not None and spec.parallel > rule.population:
        top.fail("parallel", f"cannot be more than the population of {rule.population}")
    if spec.pack:
        top.fail(
            "pack",
            "cannot be beside `rule: pbt`: an heir begins from another trial's checkpoint, at a step of its own; leave"
            " one of the two out",
        )
    if spec.learn_space:
        top.fail("stop_early.rule", "cannot be pbt beside `learn_space`: which parameters may change must be known")
    if spec.schedule is not None:
        top.fail("stop_early.rule", "cannot be pbt in a schedule: a champion has one set of parameters, not a course")


_READERS: Mapping[type[StopRule], Callable[[Section, str], StopRule | None]] = {
    Asha: partial(_halving, Asha),
    Hyperband: partial(_halving, Hyperband),
    Median: _median,
    Patience: _patience,
    Threshold: _threshold,
    Pbt: _pbt,
}


def stop_study(top: Section, sampler: str) -> StopStudy | None:
    """Reasons to end the study; those that the sampler must know of are refused where it knows none."""
    if top.get("stop_study") is None:
        return None
    section = top.section("stop_study", StopStudy.__dataclass_fields__)
    stop = StopStudy(
        section.number("target"),
        section.number("min_gain", 0.0),
        section.number("max_regret", 0.0),
        section.whole("suggestions", 1, MOST_TRIALS, 10),
    )
    for key in ("min_gain", "max_regret"):
        if section.get(key) is not None and sampler not in EXPECTING:
            section.fail(key, f"the {sampler} sampler expects nothing of a suggestion; take `sampler: bayesian`")
    if not set(section.content) - {"suggestions"}:
        top.fail("stop_study", "names no reason; write target, min_gain or max_regret")
    return stop
