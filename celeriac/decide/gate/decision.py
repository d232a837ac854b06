"""Is the challenger better than the champion, so surely that it takes its place? A sequential paired test.

Both are trained again tonight in pairs that share a seed, and judged on hold-out data that no search saw. The gate
looks after a few pairs, promotes when the evidence is clear, gives up when it points nowhere, and asks for more pairs
else.
What holds, and why, is in docs/explanation/nights.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from celeriac.decide.gate.contender import after, night_level
from celeriac.decide.gate.designs import Design, choose
from celeriac.decide.gate.estimate import check, look_at
from celeriac.decide.gate.records import (
    FEWEST_BLOCKS,
    Evidence,
    GateDecision,
    GateRules,
    Look,
    Pair,
    Past,
    Verdict,
    blocks_of,
)
from celeriac.decide.gate.student import upper_quantile, upper_tail
from celeriac.decide.gate.veto import vetoes

_FIRST_NIGHT = Evidence()
#: From this share of the variance on, the hold-out is asked whether more pairs can help at all. A smaller share is seen
#: by chance too often after a few pairs, and would end tests that more pairs can win.
_MOSTLY_HOLDOUT = 0.8


@dataclass(frozen=True, slots=True)
class _Night:
    """One night's question, and what its looks found so far."""

    pairs: tuple[Pair, ...]
    rules: GateRules
    past: Past | None
    before: Evidence
    level: float
    design: Design
    closing: bool
    looks: tuple[Look, ...] = ()
    statistic: float = math.inf
    covers: bool = field(default=False)

    @property
    def own_p(self) -> float:
        return self.design.p(self.statistic) if self.looks else 1.0

    @property
    def p(self) -> float:
        return min(1.0, self.own_p / self.before.weight)

    @property
    def limit(self) -> float:
        """What the statistic must not exceed."""
        return self.design.statistic(min(0.5, self.level * self.before.weight))


def open_gate(
    rules: GateRules,
    past: Past | None = None,
    *,
    before: Evidence = _FIRST_NIGHT,
    level: float | None = None,
    expected_gain: float | None = None,
) -> GateDecision:
    """Before any pair: how many are wanted first, or "keep" where the model expects less than `min_gain`, or nothing
    is left of `fdr`, so that no test is worth its runs. Arguments as for `decide_gate`. Raises ValueError for rules
    that cannot be.
    """
    night = _night((), rules, past, before, level, closing=False)
    if expected_gain is not None and not expected_gain >= rules.min_gain:
        why = f"no test: the model expects a gain of {expected_gain:.6g}, less than min_gain {rules.min_gain:.6g}"
        return replace(_say(night, "keep", why), expected_gain=expected_gain)
    if not night.level > 0:
        why = "no test: the schedule's share of false promotions (fdr) is used up for now, so nothing could pass"
        return replace(_say(night, "keep", why), expected_gain=expected_gain)
    first = min(night.design.looks[0], rules.most_pairs)
    return replace(
        _say(night, "more", f"{first} pairs before the first look", wanted=first), expected_gain=expected_gain
    )


def first_pairs(most_pairs: int) -> int:
    """The pairs before a night's first look, where earlier nights say nothing of the noise."""
    return min(choose(most_pairs, None).looks[0], most_pairs)


def decide_gate(
    pairs: Sequence[Pair],
    rules: GateRules,
    past: Past | None = None,
    *,
    before: Evidence = _FIRST_NIGHT,
    level: float | None = None,
    closing: bool = False,
) -> GateDecision:
    """Decide on tonight's `pairs`, in the order in which they were asked for.

    `past`: the slice's earlier nights (`pool_past`). `before`: what this challenger brings from earlier nights against
    this champion. `level`: with `rules.fdr`, what `fdr_level` leaves for the slice tonight. `closing`: no more pairs
    can be had, so the verdict is not "more". Raises ValueError, with the run and the flaw, for no pairs, for hold-outs
    of different lengths and for values that are not finite; and for rules that cannot be.
    """
    check(pairs)
    night = _night(tuple(pairs), rules, past, before, level, closing)
    for k, wanted in enumerate(night.design.looks):
        if wanted > rules.most_pairs:
            break
        if wanted > len(pairs):
            if closing:
                break
            return _more(night, wanted)
        night = _looked(night, k)
        ended = _ended(night, k)
        if ended is not None:
            return ended
    if not night.looks:
        return _say(night, "keep", f"no test: {len(pairs)} pairs are fewer than the {night.design.looks[0]} it needs")
    return _not_sure(night, "no more pairs can be had" if closing else "the most pairs of a night are spent")


def _night(
    pairs: tuple[Pair, ...], rules: GateRules, past: Past | None, before: Evidence, level: float | None, closing: bool
) -> _Night:
    if not 0 < rules.alpha <= 0.2 or rules.most_pairs < 2 or not rules.min_gain >= 0:
        raise ValueError(f"a gate needs 0 < alpha <= 0.2, most_pairs >= 2 and min_gain >= 0, not {rules}")
    if (rules.fdr is None) != (level is None):
        raise ValueError("`level` goes with `rules.fdr`: ask `fdr_level` for it")
    own = night_level(rules.alpha)
    covers = bool(pairs) and blocks_of(pairs) >= FEWEST_BLOCKS
    return _Night(
        pairs,
        rules,
        past,
        before,
        own if level is None else min(own, level),
        choose(rules.most_pairs, past),
        closing,
        covers=covers,
    )


def _looked(night: _Night, k: int) -> _Night:
    look = look_at(night.pairs[: night.design.looks[k]], night.rules.goal, night.past)
    statistic = min(night.statistic, look.nominal_p / night.design.weight(k))
    return replace(night, looks=(*night.looks, look), statistic=statistic)


def _ended(night: _Night, k: int) -> GateDecision | None:
    """The decision after the k-th look, or None where the test goes on."""
    look = night.looks[-1]
    seen = night.pairs[: look.pairs]
    if night.statistic <= night.limit:
        return _passed(night, vetoes(seen, night.rules.guards))
    broken = vetoes(seen, night.rules.guards, clear=True)
    if broken:
        return _say(night, "keep", f"vetoed: {'; '.join(broken)}")
    if k < len(night.design.stops) and look.nominal_p > night.design.stops[k]:
        return _not_sure(night, "the evidence points nowhere")
    if _holdout_hides_it(night, look):
        return _not_sure(night, "the hold-out is so noisy that no number of seeds would show it: give it more blocks")
    return None


def _passed(night: _Night, broken: Sequence[str]) -> GateDecision:
    gain, least = night.looks[-1].gain, night.rules.min_gain
    if broken:
        return _say(night, "keep", f"{_found(night)}, but vetoed: {'; '.join(broken)}")
    if gain < least:
        return _say(night, "keep", f"{_found(night)}, but that is less than min_gain {least:.6g}")
    if night.covers:
        return _say(night, "promote", _found(night))
    if night.before.passed:
        return _say(night, "promote", f"{_found(night)}; the night before agrees. {_uncovered(night)}")
    evidence = after(night.before, night.own_p, night.rules, covers=False, passed=True)
    why = f"{_found(night)}; a second night must agree. {_uncovered(night)}"
    return _say(night, "contender", why, evidence=evidence)


def _not_sure(night: _Night, ended: str) -> GateDecision:
    why = f"not surely better: {_numbers(night)} > {night.level:.3g}; {ended}"
    if not night.covers:
        why += f". {_uncovered(night)}"
    evidence = after(night.before, night.own_p, night.rules, covers=night.covers, passed=False)
    if evidence is None:
        return _say(night, "keep", why)
    return _say(night, "contender", f"{why}. A near miss: its evidence counts on tomorrow", evidence=evidence)


def _more(night: _Night, wanted: int) -> GateDecision:
    so_far = f"{_numbers(night)} so far; " if night.looks else ""
    return _say(night, "more", f"{so_far}{wanted} pairs before the next look", wanted=wanted)


def _holdout_hides_it(night: _Night, look: Look) -> bool:
    """Would the gain, as it stands, not pass with any number of pairs?"""
    if look.holdout_share < _MOSTLY_HOLDOUT:
        return False
    best = upper_tail(look.gain / (look.error * math.sqrt(look.holdout_share)), blocks_of(night.pairs) - 1)
    return best > night.limit * night.design.weight(len(night.design.looks) - 1)


def _say(
    night: _Night, verdict: Verdict, reason: str, *, wanted: int | None = None, evidence: Evidence | None = None
) -> GateDecision:
    return GateDecision(
        verdict=verdict,
        wanted=len(night.pairs) if wanted is None else wanted,
        gain=night.looks[-1].gain if night.looks else None,
        interval=_interval(night),
        p=night.p,
        level=night.level,
        covers_holdout=night.covers,
        reason=reason,
        evidence=evidence,
        design=night.design.name,
        looks=night.looks,
        pairs=night.pairs,
        rules=night.rules,
        past=night.past,
        before=night.before,
        closing=night.closing,
    )


def _interval(night: _Night) -> tuple[float, float] | None:
    """The repeated confidence interval of the newest look (Jennison and Turnbull 2000, chapter 9); None where there
    was none, or where the level is 0, so that the interval has no end.
    """
    if not night.looks or not night.limit > 0:
        return None
    look = night.looks[-1]
    limit = night.limit * night.design.weight(len(night.looks) - 1)
    reach = upper_quantile(limit, look.df) * look.error if look.error else 0.0
    return look.gain - reach, look.gain + reach


def _found(night: _Night) -> str:
    return f"better: {_numbers(night)} <= {night.level:.3g}"


def _numbers(night: _Night) -> str:
    look, interval = night.looks[-1], _interval(night)
    between = "" if interval is None else f" ({interval[0]:.4g} to {interval[1]:.4g})"
    earlier = f" with {night.before.nights} earlier nights" if night.before.nights else ""
    return f"gain {look.gain:.4g}{between} in {look.pairs} pairs{earlier}, p {night.p:.3g}"


def _uncovered(night: _Night) -> str:
    blocks = blocks_of(night.pairs)
    has = "no blocks" if not blocks else f"only {blocks} blocks ({FEWEST_BLOCKS} needed)"
    return f"The hold-out has {has}: the test covers the seeds' noise and not the hold-out's own"
