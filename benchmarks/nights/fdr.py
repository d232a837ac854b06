"""Of 40 slices over 30 nights, with so many challengers truly better: how many of the promotions are false?

Each night each slice has a challenger: the contender that waits, else a new one, which is one training's standard
deviation better in 5 % or 20 % of cases and equal else. The levels, the weights and the p of the looks are the gate's
own functions; the t tests of many slices are computed together, and a test of this project holds them to
`decide_gate`. Beside it: each slice by itself at 5 %, and Benjamini and Hochberg's rule at 10 % on each night by
itself, without contenders. `ours, same night` has challengers that correlate by 0.5 within a night.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.nights.designs import nominal
from celeriac.decide.gate import GateRules, NightTally, fdr_level
from celeriac.decide.gate.contender import after, night_level
from celeriac.decide.gate.designs import choose
from celeriac.decide.gate.records import Evidence

WORLDS, SLICES, NIGHTS = 140, 40, 30
FDR = 0.1
GAIN = 0.5**0.5  # one training's standard deviation, in those of a pair's difference without correlation
DESIGN = choose(18, None)
WEIGHTS = np.array([DESIGN.weight(k) for k in range(len(DESIGN.looks))])


@dataclass
class Tally:
    """What one rule did in all worlds."""

    promoted: int = 0
    false: int = 0
    better: int = 0
    found_at_once: int = 0
    found: int = 0
    pairs: int = 0
    nights: int = 0
    nightly: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """Shares; `nightly` is the mean of each night's false share, 0 where nothing was promoted."""
        return {
            "false": self.false / max(1, self.promoted),
            "power": self.found / max(1, self.better),
            "power_first_night": self.found_at_once / max(1, self.better),
            "promoted": self.promoted / max(1, self.nights),
            "pairs": self.pairs / max(1, self.nights) / SLICES,
            "nightly": float(np.mean(self.nightly)),
        }


def measure(worlds: int = WORLDS) -> dict[str, Any]:
    """The share of promotions that are false: 4,200 nights of 40 slices for each rule and share of better ones."""
    detail = {}
    for percent in (5, 20):
        detail[str(percent)] = {
            "ours": _run(worlds, percent / 100, _Investing).figures(),
            "ours, same night": _run(worlds, percent / 100, _Investing, correlation=0.5).figures(),
            "each night's BH": _run(worlds, percent / 100, _Nightly).figures(),
            "each by itself": _run(worlds, percent / 100, _Alone).figures(),
        }
    figures = {key: each["ours"]["false"] for key, each in detail.items()}
    print(f"\nMany slices, {worlds} worlds of {NIGHTS} nights of {SLICES} slices")
    for key, rules in detail.items():
        for name, each in rules.items():
            print(
                f"  {key:>2} % better, {name:17} false {100 * each['false']:.1f} %, found {100 * each['power']:.0f} % "
                f"({100 * each['power_first_night']:.0f} % on the first night), {each['promoted']:.2f} promotions a "
                f"night, {each['pairs']:.1f} pairs a slice, mean of the nights {100 * each['nightly']:.1f} %"
            )
    return {**figures, "power": {k: each["ours"]["power"] for k, each in detail.items()}, "detail": detail}


def broken(figures: dict[str, Any]) -> list[str]:
    """The bars that are not met."""
    return [
        f"{key} % better, {name}: {100 * each['false']:.1f} % of the promotions are false"
        for key, rules in figures["detail"].items()
        for name, each in rules.items()
        if name.startswith("ours") and each["false"] > FDR
    ]


class _Investing:
    """Ours: the level that earlier nights have earned."""

    rules = GateRules("maximize", fdr=FDR)
    contenders = True

    def __init__(self) -> None:
        self.nights: list[NightTally] = []
        self.spent = 0.0

    def levels(self, weights: np.ndarray) -> np.ndarray:
        """What each slice's p, divided by its weight, must not exceed tonight."""
        found = [fdr_level(self.nights, SLICES, FDR, float(weight)).level for weight in weights]
        levels = np.minimum(night_level(self.rules.alpha), found)
        self.spent = float((levels * weights).sum())
        return levels

    def promote(self, p: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """Which slices are promoted."""
        chosen = p <= levels
        self.nights.append(NightTally(self.spent, int(chosen.sum())))
        return chosen


class _Alone:
    """Each slice at its own level."""

    rules = GateRules("maximize")
    contenders = True

    def levels(self, weights: np.ndarray) -> np.ndarray:
        return np.full(len(weights), night_level(self.rules.alpha))

    def promote(self, p: np.ndarray, levels: np.ndarray) -> np.ndarray:
        return p <= levels


class _Nightly(_Alone):
    """Benjamini and Hochberg on one night; tests go on until they pass at the strictest step."""

    rules = GateRules("maximize", fdr=FDR)
    contenders = False

    def levels(self, weights: np.ndarray) -> np.ndarray:
        return np.full(len(weights), FDR / SLICES)

    def promote(self, p: np.ndarray, levels: np.ndarray) -> np.ndarray:
        steps = np.sort(p) <= FDR * np.arange(1, len(p) + 1) / len(p)
        return p <= FDR * (np.flatnonzero(steps).max() + 1) / len(p) if steps.any() else np.zeros(len(p), bool)


def _run(worlds: int, share: float, rule: type[_Investing | _Alone], correlation: float = 0.0) -> Tally:
    tally = Tally()
    for world in range(worlds):
        _play(np.random.default_rng([world, int(100 * share)]), share, rule(), correlation, tally)
    return tally


def _play(rng: np.random.Generator, share: float, rule: _Investing | _Alone, correlation: float, tally: Tally) -> None:
    """30 nights of one schedule."""
    waiting: list[Evidence | None] = [None] * SLICES
    better = np.zeros(SLICES, bool)
    for _ in range(NIGHTS):
        new = np.array([each is None for each in waiting])
        better = np.where(new, rng.random(SLICES) < share, better)
        evidence = [each or Evidence() for each in waiting]
        weights = np.array([each.weight for each in evidence])
        levels = rule.levels(weights)
        own, pairs = _test(rng, better, levels * weights, correlation)
        promoted = rule.promote(own / weights, levels)
        waiting = [
            None if won or not rule.contenders else after(each, p, rule.rules, covers=True, passed=False)
            for each, p, won in zip(evidence, own, promoted, strict=True)
        ]
        tally.nights += 1
        tally.pairs += int(pairs.sum())
        tally.better += int((new & better).sum())
        tally.found_at_once += int((new & better & promoted).sum())
        tally.found += int((better & promoted).sum())
        tally.promoted += int(promoted.sum())
        tally.false += int((promoted & ~better).sum())
        tally.nightly.append((promoted & ~better).sum() / max(1, promoted.sum()))


def _test(
    rng: np.random.Generator, better: np.ndarray, levels: np.ndarray, correlation: float
) -> tuple[np.ndarray, np.ndarray]:
    """Each slice's own p, and its pairs, when tests end at such levels (level x weight)."""
    size = (len(better), DESIGN.looks[-1])
    noise = (1 - correlation) ** 0.5 * rng.standard_normal(size) + correlation**0.5 * rng.standard_normal(size[1])
    return judged(noise + GAIN * better[:, None], levels)


def judged(differences: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `decide_gate` finds for each row of pairs' differences: its own p, and how many pairs it asked for."""
    found = nominal(differences, DESIGN.looks, None)
    statistic, pairs = np.full(len(levels), np.inf), np.zeros(len(levels), int)
    limits = np.array([DESIGN.statistic(min(0.5, level)) for level in levels])
    going = np.ones(len(levels), bool)
    for k, n in enumerate(DESIGN.looks):
        statistic = np.where(going, np.minimum(statistic, found[:, k] / WEIGHTS[k]), statistic)
        pairs[going] = n
        going &= statistic > limits
        if k < len(DESIGN.stops):
            going &= found[:, k] <= DESIGN.stops[k]
    return np.array([DESIGN.p(each) for each in statistic]), pairs
