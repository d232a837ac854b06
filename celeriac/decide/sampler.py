"""Which sampler does a study's `sampler: auto` mean? Its space and budget decide, and once trials have ended, their
length.

Promises: the same file means the same sampler on every host, whatever is installed there, and for the whole study.
There is one exception: trials that turn out so short and so many that waiting for a model would cost more than
HELD_UP_S. Each trial stores which sampler suggested it, and why, so a replay never asks this page.
"""

from dataclasses import dataclass

from celeriac.domain.records import StudyRecord
from celeriac.domain.sampler_names import AUTO
from celeriac.domain.stop_rules import Pbt
from celeriac.domain.study_file import StudySpec

#: What a model's suggestion costs the coordinator, about.
SUGGESTION_S = 0.03
HELD_UP_S = 600.0
#: How many trials tell how long a trial takes.
TELLING = 20


@dataclass(frozen=True, slots=True)
class SamplerDecision:
    """The sampler's name, and why that one."""

    name: str
    reason: str


def chosen_sampler(spec: StudySpec, study: StudyRecord) -> SamplerDecision:
    """The sampler of a study now."""
    finished = study.counts.finished
    # Not the slots that are alive now: the choice must not change when a host comes or goes.
    every_s = study.ran_s / finished / (spec.parallel or 1) if finished >= TELLING else None
    return choose(spec, every_s)


def choose(spec: StudySpec, every_s: float | None = None) -> SamplerDecision:
    """The sampler of such a study; `every_s`: the mean time from one trial's end to the next one's, None while too few
    have ended.
    """
    if spec.sampler != AUTO:
        return SamplerDecision(spec.sampler, "the study file says so")
    if isinstance(spec.stop_early, Pbt):
        return SamplerDecision("sobol", "a population begins spread over the space, and learns from its own members")
    return _exhaustive(spec) or _without_model(spec, every_s) or _BAYESIAN


# Not `forest` for many choices, conditions or parameters, nor `botorch` for long trials: neither was better
# (docs/explanation/search-evidence.md).
_BAYESIAN = SamplerDecision("bayesian", "its model learns most from each trial, and costs milliseconds")


def _exhaustive(spec: StudySpec) -> SamplerDecision | None:
    """Where every point will be tried, no order of them is wiser than another. Any other end than the last trial's
    makes it so.
    """
    size = None if spec.learn_space else spec.space.cardinality()
    if size is None or size > spec.budget.trials or spec.budget.wall_s is not None or spec.stop_study:
        return None
    return SamplerDecision("grid", f"the budget covers all {size} points of the space")


def _without_model(spec: StudySpec, every_s: float | None) -> SamplerDecision | None:
    """Where trials are so short and so many that they would wait for a model. A study that ends by what a model
    expects keeps it.
    """
    trials, stop = spec.budget.trials, spec.stop_study
    if every_s is None or (stop is not None and (stop.min_gain is not None or stop.max_regret is not None)):
        return None
    held_up_s = trials * (SUGGESTION_S - every_s)
    if held_up_s <= HELD_UP_S:
        return None
    ends = f"a trial ends every {1000 * every_s:.3g} ms"
    return SamplerDecision("sobol", f"{ends}: a model would hold {trials} of them up by {held_up_s / 60:.0f} minutes")
