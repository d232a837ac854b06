"""Which share of a GPU fits a study's trials, and how many of them at once? By what its trials took, alone and beside
others.

Memory says how many fit; only trials an hour say whether sharing pays: two trials that both keep a GPU busy take twice
as long together. So a share is advised over a whole GPU only where its trials were faster in sum, by MIN_GAIN at least,
and where nobody has measured that, it is said what to measure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from celeriac.decide.learned_memory import needed_bytes
from celeriac.domain.records import Resources
from celeriac.domain.records.placing import ShareFigures

#: Fewer than so many trials an hour more are noise.
MIN_GAIN = 0.05
#: More trials at once on one GPU only wait for each other.
MOST_AT_ONCE = 8
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class AdviceDecision:
    """`share`: of a GPU for each trial, so that `parallel` run on one (None: nothing is known yet), and why."""

    share: float | None
    parallel: int
    reasons: tuple[str, ...]


def advise(figures: Sequence[ShareFigures], memory_bytes: int, workers: int) -> AdviceDecision:
    """Decide by what was measured of each share, on GPUs of which the smallest has `memory_bytes`, and none more than
    `workers`, which is how many trials run on it at once whatever their share.
    """
    measured = [each for each in figures if each.trials and each.mean_s > 0]
    if not measured:
        return AdviceDecision(None, 0, ("no trial of it was scored on a GPU yet: run one",))
    if not workers:
        return AdviceDecision(None, 0, ("no GPU is alive, so nobody knows how many fit on one",))
    peak = max(each.peak_bytes for each in measured)
    need = needed_bytes(Resources(gpus=0.5), peak) or peak
    fit = max(min(memory_bytes // need, MOST_AT_ONCE), 1) if need else MOST_AT_ONCE
    at_once = {each.share: min(each.at_once, fit, workers) for each in measured}
    per_hour = {each.share: 3600 * at_once[each.share] / each.mean_s for each in measured}
    reasons = [
        f"{each.trials} trials at a share of {each.share:g} took {each.mean_s:.3g} s on average, "
        f"{at_once[each.share]} at once: {per_hour[each.share]:.3g} an hour and GPU"
        for each in measured
    ]
    if workers < min(max(each.at_once for each in measured), fit):
        reasons.append(f"no more than {workers} run on a GPU at once: CELERIAC_SLOTS_PER_GPU of its host says so")
    if not peak:
        return AdviceDecision(None, 0, (*reasons, "how much memory they took was not measured (they do not use torch)"))
    reasons.append(
        f"they took {peak / _GIB:.1f} GiB at most; with a margin {need / _GIB:.1f} GiB, so {fit} fit a GPU of "
        f"{memory_bytes / _GIB:.0f} GiB"
    )
    best = max(measured, key=lambda each: per_hour[each.share])
    whole = next((each for each in measured if each.share >= 1), None)
    if whole is None or len(measured) == 1:
        other = "alone (`gpus: 1`)" if whole is None else f"at a share of {_share(fit):g}"
        reasons.append(f"whether sharing pays is not known: have some trials run {other} as well, and compare")
        return AdviceDecision(best.share, at_once[best.share], tuple(reasons))
    gain = per_hour[best.share] / per_hour[whole.share] - 1
    if best is whole or gain < MIN_GAIN:
        return AdviceDecision(1.0, 1, (*reasons, "sharing brings no more trials an hour: a whole GPU for each"))
    return AdviceDecision(best.share, at_once[best.share], (*reasons, f"sharing brings {gain:.0%} more trials an hour"))


def _share(at_once: int) -> float:
    return int(100 / at_once) / 100
