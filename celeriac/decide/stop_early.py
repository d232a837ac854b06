"""Is a trial stopped early? It is judged when its report arrives, by its own reports and by its record at a rung.

`followed` takes an attempt's reports one by one. An attempt's first report at a rung crosses it; the store ranks the
crossing among the trials that came there before (`Store.report`), and `at_rung` judges the record. A record never
changes. So each verdict can be computed again from the rows, also by a later attempt of the same trial, which finds
the same record.

Rules: the best at a rung is never stopped, and a value equal to the cutoff is not either. The default and the
champion are ranked but never stopped, because others are compared with their score. A value that is not finite is
worse than every number, and is a fault.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from celeriac.domain.records import Crossing, Fault, Goal, Ranking, Report, RungRecord, Source
from celeriac.domain.stop_rules import STEP, Asha, Hyperband, Median, Patience, Pbt, StopRule, Threshold

EXEMPT = frozenset({Source.DEFAULT, Source.CHAMPION})
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, slots=True)
class StopDecision:
    """Whether the trial is stopped, and why; with `fault`, it failed rather than fell behind."""

    stop: bool
    reason: str
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """Who is judged by what: a study's rule and goal, and of the trial its bracket, whether it is exempt, and the step
    that it goes on from when it is an heir: at the rungs up to there it is not judged.
    """

    rule: StopRule
    goal: Goal
    bracket: int = 0
    exempt: bool = False
    born_step: int = -1


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an attempt has come: the rung it reached, its best value so far, and how many reports did not improve on
    it.
    """

    rung: int = -1
    best: float | None = None
    best_step: int | None = None
    since: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """A course with one report more: the rung that it crosses, and a verdict where no other trial is needed for one."""

    course: Progress
    crossing: Crossing | None = None
    decision: StopDecision | None = None


def judged(rule: StopRule, goal: Goal, number: int, source: Source, born_step: int = -1) -> Judged:
    """How the trial of this number is judged; `born_step`: the step of the checkpoint that it inherited."""
    return Judged(rule, goal, bracket_of(rule, number), source in EXEMPT, born_step)


def rungs_of(rule: Asha | Hyperband, bracket: int = 0) -> tuple[int, ...]:
    """The rungs of a bracket, lowest first: min·eta^k below max, without the `bracket` lowest."""
    rungs, rung = [], rule.min
    while rung < rule.max:
        rungs.append(rung)
        rung *= rule.eta
    return tuple(rungs[bracket:])


def bracket_of(rule: StopRule, number: int) -> int:
    """The bracket of a trial: 0, but with hyperband, which spreads its brackets' shares evenly over the numbers.

    A bracket with h rungs gets its trials in proportion to ceil((H + 1) / (h + 1) · eta^h), H being the most rungs (Li
    et al. 2018).
    """
    if not isinstance(rule, Hyperband):
        return 0
    most = len(rungs_of(rule))
    shares = [math.ceil((most + 1) / (rungs + 1) * rule.eta**rungs) for rungs in range(most, -1, -1)]
    left = math.modf((number + 0.5) * _GOLDEN)[0] * sum(shares)
    for bracket, share in enumerate(shares):
        left -= share
        if left < 0:
            return bracket
    return most


def resource_of(rule: StopRule, step: int, metrics: Mapping[str, Any]) -> float | None:
    """How much of its rule's resource a report has used: its step, or the metric of that name; None if it is no finite
    number.
    """
    used = step if rule.resource == STEP else metrics.get(rule.resource)
    if isinstance(used, bool) or not isinstance(used, (int, float)) or not math.isfinite(used):
        return None
    return float(used)


def followed(judged: Judged, course: Progress, report: Report) -> Step:
    """One report more; a report without the resource counts for nothing."""
    rule, used = judged.rule, resource_of(judged.rule, report.step, report.metrics)
    if used is None:
        return Step(course)
    course = _improved(judged, course, report)
    if isinstance(rule, Patience):
        counted = replace(course, since=0) if used < rule.min else course
        return Step(counted, decision=_worn(judged, counted))
    rung = _rung_at(rule, judged.bracket, used)
    if rung is None or rung <= max(course.rung, judged.born_step):
        return Step(course)
    value = course.best if isinstance(rule, Median) else report.value
    course = replace(course, rung=rung)
    if value is None or not math.isfinite(value):
        return Step(course, decision=_not_finite(judged, rung, report.value))
    return Step(course, Crossing(rung, report.step, used, value, ranking(judged)))


def ranking(judged: Judged) -> Ranking:
    """How the rungs of this trial are ranked; a threshold keeps all."""
    match judged.rule:
        case Asha() | Hyperband():
            return Ranking(judged.goal, judged.rule.eta, bracket=judged.bracket)
        case Median():
            return Ranking(judged.goal, 2, spare=1)
        case Pbt(quantile=quantile):  # all but the last `quantile`, rounded to whole trials
            return Ranking(judged.goal, 100, spare=50, times=100 - round(100 * quantile))
        case _:
            return Ranking(judged.goal, 1)


def at_rung(judged: Judged, record: RungRecord) -> StopDecision:
    """The verdict on a trial's record at a rung."""
    rule, value, goal = judged.rule, f"{record.value:.6g}", judged.goal
    if isinstance(rule, Threshold):
        stop, told = (_worse(goal, record.value, rule.bound), f"{value} is worse than the bound {rule.bound:.6g}")
    elif isinstance(rule, Median):
        stop = record.place > rule.trials and _worse(goal, record.value, record.cutoff)
        told = f"{value} is worse than the median {record.cutoff:.6g} of {record.place} trials"
    else:
        stop = _worse(goal, record.value, record.cutoff)
        kept = ranking(judged).kept(record.place)
        told = f"{value} is not among the best {kept} of {record.place} (cutoff {record.cutoff:.6g})"
    where = rung_name(judged, record.rung)
    if not stop:
        return StopDecision(False, f"{where}: {value} goes on")
    if judged.exempt:
        return StopDecision(False, f"{where}: {told}, but it is exempt")
    return StopDecision(True, f"{where}: {told}")


def cutoff_of(rule: StopRule | None, record: RungRecord) -> float:
    """The value that this rung takes, as of this record: the bound of a threshold, which ranks nobody, else the last
    kept value.
    """
    return rule.bound if isinstance(rule, Threshold) else record.cutoff


def rung_name(judged: Judged, rung: int) -> str:
    """A rung in words: `rung 9`, `rung 4000 samples`, `bracket 1, rung 9`."""
    unit = "" if judged.rule.resource == STEP else f" {judged.rule.resource}"
    bracket = f"bracket {judged.bracket}, " if isinstance(judged.rule, Hyperband) else ""
    return f"{bracket}rung {rung}{unit}"


def keeps_score(rule: StopRule) -> bool:
    """Whether a score that a stopped trial returns all the same counts: patience ends a training that has nothing more
    to gain.
    """
    return isinstance(rule, Patience)


def _rung_at(rule: StopRule, bracket: int, used: float) -> int | None:
    """The highest rung at or below this resource."""
    match rule:
        case Asha() | Hyperband():
            return max((rung for rung in rungs_of(rule, bracket) if rung <= used), default=None)
        case Median():
            return rule.min + int((used - rule.min) // rule.every) * rule.every if used >= rule.min else None
        case Threshold():
            return rule.at if used >= rule.at else None
        case Pbt():
            return int(used // rule.every) * rule.every if rule.every <= used < rule.max else None
    return None


def _improved(judged: Judged, course: Progress, report: Report) -> Progress:
    value, least = report.value, judged.rule.min_delta if isinstance(judged.rule, Patience) else 0.0
    if math.isfinite(value) and (course.best is None or _gain(judged.goal, value, course.best) > least):
        return replace(course, best=value, best_step=report.step, since=0)
    return replace(course, since=course.since + 1)


def _worn(judged: Judged, course: Progress) -> StopDecision | None:
    """Patience's verdict, once enough reports brought nothing."""
    rule = judged.rule
    if not isinstance(rule, Patience) or course.since < rule.reports or judged.exempt:
        return None
    if course.best is None:
        return StopDecision(True, f"none of its {course.since} reports is a finite number", Fault.NOT_FINITE)
    more = f" by more than {rule.min_delta:g}" if rule.min_delta else ""
    return StopDecision(
        True, f"patience: {course.since} reports did not improve{more} on {course.best:.6g} of step {course.best_step}"
    )


def _not_finite(judged: Judged, rung: int, value: float) -> StopDecision:
    where = f"{rung_name(judged, rung)}: {value}"
    if judged.exempt:
        return StopDecision(False, f"{where}, but it is exempt")
    return StopDecision(True, f"{where} is worse than every number", Fault.NOT_FINITE)


def _gain(goal: Goal, value: float, than: float) -> float:
    return value - than if goal == "maximize" else than - value


def _worse(goal: Goal, value: float, than: float) -> bool:
    return _gain(goal, value, than) < 0
