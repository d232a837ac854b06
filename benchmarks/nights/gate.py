"""What the gate lets through: equal challengers (false promotions), better ones (power), and at how many pairs.

Each bar's figure is that of the worst of three noises: normal, heavy-tailed, and the flights' own seeds and blocks,
resampled. `detail` has each, and beside them: the old rule (the best of a night's trials beats trial 0), a plain paired
t test that knows no blocks, a gate without blocks (two nights must agree), challengers over all their nights, and
nights with a past.
"""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.nights.worlds import RULES, Noise, drawn, heavy, night, normal, played, resampled, without_blocks
from celeriac.decide.gate import Evidence, Past, pool_past

NIGHTS = 4000
SHARES = (0.0, 0.25, 0.5)
NOISES: dict[str, Callable[[], Noise]] = {
    "normal": lambda: drawn(normal),
    "heavy-tailed": lambda: drawn(heavy),
    "flights": resampled,
}


def measure(nights: int = NIGHTS) -> dict[str, Any]:
    """The figures; shares of nights, and mean pairs. Each cell has its own random numbers, so they run side by side."""
    cells = _cells(nights)
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        running = {name: pool.submit(function, *args) for name, (function, *args) in cells.items()}
        figures = _figures(nights, {name: each.result() for name, each in running.items()})
    _show(figures)
    return figures


def _cells(nights: int) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Each figure's function and arguments."""
    cells: dict[tuple[str, str], tuple[Any, ...]] = {}
    for name in NOISES:
        cells |= {(f"false {s:g}", name): (_promoted, name, nights, 0.0, s) for s in SHARES}
        cells["power", name] = (_promoted, name, nights, 1.0)
    for name, gain in (("equal", 0.0), ("one_sd", 1.0)):
        cells["after_ten", name] = (_after_ten, nights, gain)
    cells |= {("two_nights", f"false {s:g}"): (_life, nights, 0.0, s, False) for s in SHARES}
    cells["two_nights", "power"] = (_life, nights // 4, 1.0, 0.0, False)
    cells["all_its_nights", "false"] = (_life, nights, 0.0, 0.0, True)
    cells["all_its_nights", "power"] = (_life, nights // 4, 1.0, 0.0, True)
    return cells


def _figures(nights: int, found: dict[tuple[str, str], dict[str, float]]) -> dict[str, Any]:
    """The bars' figures are those of the worst noise."""

    def part(key: str) -> dict[str, dict[str, float]]:
        return {name: each for (kind, name), each in found.items() if kind == key}

    by_shared = {f"{s:g}": part(f"false {s:g}") for s in SHARES}
    power, after_ten = part("power"), part("after_ten")
    return {
        "false": {key: max(each["share"] for each in row.values()) for key, row in by_shared.items()},
        "power": min(each["share"] for each in power.values()),
        "pairs_equal": max(each["pairs"] for each in by_shared["0"].values()),
        "pairs_one_sd": max(each["pairs"] for each in power.values()),
        "pairs_after_ten": max(each["pairs"] for each in after_ten.values()),
        "detail": {
            "nights": nights,
            "false": {name: {key: row[name] for key, row in by_shared.items()} for name in NOISES},
            "power": power,
            "after_ten": after_ten,
            "old_rule": _old_rule(nights),
            "plain_t": {f"{s:g}": _plain_t(nights, s) for s in SHARES},
            "two_nights": part("two_nights"),
            "all_its_nights": part("all_its_nights"),
        },
    }


def broken(figures: dict[str, Any]) -> list[str]:
    """The bars that are not met."""
    found = []
    for name, by_shared in figures["detail"]["false"].items():
        for shared, each in by_shared.items():
            if each["share"] > 0.05 or each["upper"] > 0.06:
                found.append(f"{name}, shared {shared}: {each['share']:.3f} (at most {each['upper']:.3f}) are false")
    for name, each in figures["detail"]["power"].items():
        if each["share"] < 0.8:
            found.append(f"{name}: power {each['share']:.3f} is below 0.8")
    for key, most in (("pairs_equal", 8.5), ("pairs_one_sd", 12.5), ("pairs_after_ten", 6.0)):
        if figures[key] > most:
            found.append(f"{key} {figures[key]:.2f} is above {most}")
    return found


def _promoted(name: str, nights: int, gain: float = 0.0, shared: float = 0.0) -> dict[str, float]:
    rng = np.random.default_rng([int(1000 * gain), int(1000 * shared)])
    noise = NOISES[name]()
    found = [played(night(rng, noise, gain, shared), RULES) for _ in range(nights)]
    return _share(sum(d.verdict == "promote" for d in found), nights, sum(len(d.pairs) for d in found) / nights)


def _share(hits: int, nights: int, pairs: float) -> dict[str, float]:
    """With the upper end of the two-sided 95 % interval (Clopper and Pearson)."""
    return {"share": hits / nights, "upper": float(stats.beta.ppf(0.975, hits + 1, nights - hits)), "pairs": pairs}


def _after_ten(nights: int, gain: float) -> dict[str, float]:
    """A night after ten others of its slice, with pairs whose scores correlate by 0.5."""
    rng = np.random.default_rng([10, int(1000 * gain)])
    noise, hits, pairs = drawn(normal), 0, 0
    for _ in range(nights):
        past = _past(rng, noise)
        decided = played(night(rng, noise, gain, correlation=0.5), RULES, past)
        hits += decided.verdict == "promote"
        pairs += len(decided.pairs)
    return _share(hits, nights, pairs / nights)


def _past(rng: np.random.Generator, noise: Noise) -> Past | None:
    earlier = [without_blocks(night(rng, noise, 0.0, correlation=0.5))[:6] for _ in range(10)]
    return pool_past(earlier)


def _life(challengers: int, gain: float, shared: float, blocks: bool) -> dict[str, float]:
    """How many challengers are promoted on any of their nights: a contender is tested again on the next one."""
    rng = np.random.default_rng([7, int(1000 * gain), int(1000 * shared), int(blocks)])
    noise, hits, nights = drawn(normal), 0, 0
    for _ in range(challengers):
        before: Evidence | None = Evidence()
        while before is not None:
            pairs = night(rng, noise, gain, shared)
            decided = played(pairs if blocks else without_blocks(pairs), RULES, None, before)
            nights += 1
            hits += decided.verdict == "promote"
            before = decided.evidence
    return {**_share(hits, challengers, 0.0), "nights": nights / challengers}


def _old_rule(nights: int) -> dict[str, float]:
    """How often the best of so many equal trials beats trial 0."""
    rng = np.random.default_rng(3)
    return {
        str(trials): float((rng.standard_normal((nights, trials)).max(1) > rng.standard_normal(nights)).mean())
        for trials in (10, 30, 60)
    }


def _plain_t(nights: int, shared: float) -> float:
    """False promotions of 14 pairs and a paired t test at 5 % on their means."""
    rng = np.random.default_rng([14, int(1000 * shared)])
    difference = rng.standard_normal((nights, 14)) + shared * rng.standard_normal((nights, 1))
    t = difference.mean(1) / (difference.std(1, ddof=1) / 14**0.5)
    return float((stats.t.sf(t, 13) <= 0.05).mean())


def _show(figures: dict[str, Any]) -> None:
    detail = figures["detail"]
    print(f"\nThe gate, {detail['nights']} nights each: promoted (upper 95 % bound), mean pairs")
    for name, by_shared in detail["false"].items():
        row = "  ".join(
            f"shared {key}: {100 * each['share']:.1f} % ({100 * each['upper']:.1f}), {each['pairs']:.1f}"
            for key, each in by_shared.items()
        )
        power = detail["power"][name]
        print(f"  {name:13} equal: {row};  one sd better: {100 * power['share']:.1f} %, {power['pairs']:.1f}")
    for name, each in detail["after_ten"].items():
        print(f"  after ten nights at correlation 0.5, {name}: {100 * each['share']:.1f} %, {each['pairs']:.1f} pairs")
    for key in ("two_nights", "all_its_nights"):
        row = "  ".join(f"{name} {100 * each['share']:.1f} %" for name, each in detail[key].items())
        print(f"  {key}: {row}")
    print("  the best of n equal trials beats trial 0:", detail["old_rule"])
    print("  14 pairs and a plain t test, by the hold-out's noise:", detail["plain_t"])
