"""What the gate lets through: equal challengers (false promotions), better ones (power), and at how many pairs.

`false` is the worst of three noises: normal, heavy-tailed, and the flights' own seeds and blocks, resampled. `detail`
has each, and beside them: the old rule (the best of a night's trials beats trial 0), a plain paired t test that knows
no blocks, a gate without blocks (two nights must agree), challengers over all their nights, and nights with a past.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.nights.worlds import RULES, Noise, drawn, heavy, night, normal, played, resampled, without_blocks
from celeriac.decide.gate import Evidence, Pair, Past, pool_past

NIGHTS = 4000
SHARES = (0.0, 0.25, 0.5)
Draw = Callable[[np.random.Generator], list[Pair]]


def measure(nights: int = NIGHTS) -> dict[str, Any]:
    """The figures; shares of nights, and mean pairs."""
    noises = {"normal": drawn(normal), "heavy-tailed": drawn(heavy), "flights": resampled()}
    false = {
        name: {f"{shared:g}": _promoted(noise, nights, shared=shared) for shared in SHARES}
        for name, noise in noises.items()
    }
    power = {name: _promoted(noise, nights, gain=1.0) for name, noise in noises.items()}
    after = {gain: _after_ten(noises["normal"], nights, gain) for gain in (0.0, 1.0)}
    figures = {
        "false": {key: max(each[key]["share"] for each in false.values()) for key in false["normal"]},
        "power": power["normal"]["share"],
        "pairs_equal": false["normal"]["0"]["pairs"],
        "pairs_one_sd": power["normal"]["pairs"],
        "pairs_after_ten": max(each["pairs"] for each in after.values()),
        "detail": {
            "nights": nights,
            "false": false,
            "power": power,
            "after_ten": {"equal": after[0.0], "one_sd": after[1.0]},
            "old_rule": _old_rule(nights),
            "plain_t": {f"{shared:g}": _plain_t(nights, shared) for shared in SHARES},
            "two_nights": {
                **{f"false {s:g}": _life(noises["normal"], nights, 0.0, s, blocks=False) for s in SHARES},
                "power": _life(noises["normal"], nights // 4, 1.0, 0.0, blocks=False),
            },
            "all_its_nights": {
                "false": _life(noises["normal"], nights, 0.0, 0.0, blocks=True),
                "power": _life(noises["normal"], nights // 4, 1.0, 0.0, blocks=True),
            },
        },
    }
    _show(figures)
    return figures


def broken(figures: dict[str, Any]) -> list[str]:
    """The bars that are not met."""
    found = []
    for name, by_shared in figures["detail"]["false"].items():
        for shared, each in by_shared.items():
            if each["share"] > 0.05 or each["upper"] > 0.06:
                found.append(f"{name}, shared {shared}: {each['share']:.3f} (at most {each['upper']:.3f}) are false")
    if figures["power"] < 0.8:
        found.append(f"power {figures['power']:.3f} is below 0.8")
    for key, most in (("pairs_equal", 8.5), ("pairs_one_sd", 12.5), ("pairs_after_ten", 6.0)):
        if figures[key] > most:
            found.append(f"{key} {figures[key]:.2f} is above {most}")
    return found


def _promoted(noise: Noise, nights: int, gain: float = 0.0, shared: float = 0.0) -> dict[str, float]:
    rng = np.random.default_rng([int(1000 * gain), int(1000 * shared)])
    found = [played(night(rng, noise, gain, shared), RULES) for _ in range(nights)]
    return _share(sum(d.verdict == "promote" for d in found), nights, sum(len(d.pairs) for d in found) / nights)


def _share(hits: int, nights: int, pairs: float) -> dict[str, float]:
    """With the upper end of the two-sided 95 % interval (Clopper and Pearson)."""
    return {"share": hits / nights, "upper": float(stats.beta.ppf(0.975, hits + 1, nights - hits)), "pairs": pairs}


def _after_ten(noise: Noise, nights: int, gain: float) -> dict[str, float]:
    """A night after ten others of its slice, with pairs whose scores correlate by 0.5."""
    rng = np.random.default_rng([10, int(1000 * gain)])
    hits = pairs = 0
    for _ in range(nights):
        past = _past(rng, noise)
        decided = played(night(rng, noise, gain, correlation=0.5), RULES, past)
        hits += decided.verdict == "promote"
        pairs += len(decided.pairs)
    return _share(hits, nights, pairs / nights)


def _past(rng: np.random.Generator, noise: Noise) -> Past | None:
    earlier = [without_blocks(night(rng, noise, 0.0, correlation=0.5))[:6] for _ in range(10)]
    return pool_past(earlier)


def _life(noise: Noise, challengers: int, gain: float, shared: float, *, blocks: bool) -> dict[str, float]:
    """How many challengers are promoted on any of their nights: a contender is tested again on the next one."""
    rng = np.random.default_rng([7, int(1000 * gain), int(1000 * shared), int(blocks)])
    hits = nights = 0
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
