"""Write the gate's table of designs, `celeriac/decide/gate/table.py`, by simulation of the null:

    python -m benchmarks.nights.designs

A design is its looks and where it gives up. What is computed: the distribution, when the challenger equals the
champion, of the night's statistic (the least of p / weight over its looks), and the gain, in standard deviations of a
pair's difference, that a test at 4.5 % finds with 80 % power.
"""

import argparse
import textwrap
from pathlib import Path

import numpy as np
from scipy import stats

TABLE = Path("celeriac/decide/gate/table.py")
#: Degrees of freedom that the past must bring at least for a design of the second kind.
PAST_DF = 20
NEW = {
    (3, 4, 5, 6, 7): (0.6, 0.45, 0.35, 0.22),
    (4, 5, 6, 8, 10): (0.6, 0.45, 0.35, 0.2),
    (4, 6, 8, 10, 13): (0.6, 0.45, 0.35, 0.2),
    (4, 6, 9, 13, 18): (0.6, 0.45, 0.33, 0.18),
}
KNOWN = {
    (2, 3, 4, 5): (0.55, 0.45, 0.35),
    (2, 3, 4, 5, 7): (0.6, 0.5, 0.4, 0.28),
    (2, 3, 4, 6, 9): (0.6, 0.5, 0.42, 0.28),
    (2, 4, 6, 8, 12): (0.6, 0.45, 0.35, 0.22),
    (3, 5, 8, 12, 17): (0.6, 0.45, 0.33, 0.18),
}
STATISTICS = np.geomspace(1e-4, 64.0, 61)
LEVEL, POWER = 0.045, 0.8
CHUNK = 250_000
HEAD = '''"""The gate's designs. Made by `python -m benchmarks.nights.designs`; do not edit by hand.

Of each: its looks, the p of a look above which it gives up, whether it needs the past's noise, the effect (gain in
standard deviations of a pair's difference) that it finds with 80 % power at a level of 4.5 %, and, at each of
STATISTICS, the chance that the night's statistic is no larger when the challenger equals the champion.
"""

# fmt: off
'''


def nominal(differences: np.ndarray, looks: tuple[int, ...], past_sums: np.ndarray | None) -> np.ndarray:
    """One-sided p of the paired t test at each look. `past_sums`: sums of squares of PAST_DF earlier differences."""
    found = []
    for pairs in looks:
        seen = differences[:, :pairs]
        mean = seen.mean(1)
        squares = ((seen - mean[:, None]) ** 2).sum(1) + (0.0 if past_sums is None else past_sums)
        df = pairs - 1 + (0 if past_sums is None else PAST_DF)
        found.append(stats.t.sf(mean / np.sqrt(squares / df / pairs), df))
    return np.stack(found, 1)


def statistic(p: np.ndarray, looks: tuple[int, ...], stops: tuple[float, ...]) -> np.ndarray:
    """The least of p / weight over the looks until the design gives up."""
    weights = np.array(looks, float) ** 2
    weights /= weights.sum()
    alive, least = np.ones(len(p), bool), np.full(len(p), np.inf)
    for k in range(len(looks)):
        least = np.where(alive, np.minimum(least, p[:, k] / weights[k]), least)
        if k < len(stops):
            alive &= p[:, k] <= stops[k]
    return least


def simulate(
    looks: tuple[int, ...], stops: tuple[float, ...], known: bool, effect: float, nights: int, seed: int
) -> np.ndarray:
    """The statistic of each of `nights` nights with such an effect."""
    rng = np.random.default_rng([seed, looks[-1], int(known)])
    found = []
    for start in range(0, nights, CHUNK):
        size = min(CHUNK, nights - start)
        past = rng.chisquare(PAST_DF, size) if known else None
        differences = rng.standard_normal((size, looks[-1])) + effect
        found.append(statistic(nominal(differences, looks, past), looks, stops))
    return np.concatenate(found)


def effect_found(looks: tuple[int, ...], stops: tuple[float, ...], known: bool, limit: float, nights: int) -> float:
    """The effect with POWER at a level whose statistic is `limit`, by bisection on the same random numbers."""
    low, high = 0.3, 3.0
    while high - low > 0.002:
        middle = 0.5 * (low + high)
        power = (simulate(looks, stops, known, middle, nights, 2) <= limit).mean()
        low, high = (low, middle) if power >= POWER else (middle, high)
    return round(high, 3)


def wrapped(numbers: list[float]) -> str:
    """A tuple's text in lines of the house's width."""
    return textwrap.fill(f"({', '.join(map(str, numbers))})", 118, initial_indent="     ", subsequent_indent="      ")


def inside(numbers: list[float]) -> str:
    """The same for a tuple whose brackets stand on lines of their own."""
    return textwrap.fill(f"{', '.join(map(str, numbers))},", 118, initial_indent="    ", subsequent_indent="    ")


def main() -> None:
    """Simulate every design and write the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.nights.designs", description=__doc__)
    parser.add_argument("--nights", type=int, default=4_000_000)
    options = parser.parse_args()
    lines = [
        HEAD,
        f"PAST_DF = {PAST_DF}\n",
        f"STATISTICS = (\n{inside([float(f'{s:.6g}') for s in STATISTICS])}\n)\n",
        "DESIGNS = (",
    ]
    for known, designs in ((False, NEW), (True, KNOWN)):
        for looks, stops in designs.items():
            null = np.sort(simulate(looks, stops, known, 0.0, options.nights, 1))
            chances = np.searchsorted(null, STATISTICS, side="right") / len(null)
            effect = effect_found(
                looks, stops, known, float(np.quantile(null, LEVEL)), max(20_000, options.nights // 40)
            )
            lines.append(f"    ({looks}, {stops}, {known}, {effect},")
            lines.append(f"{wrapped([float(f'{c:.5g}') for c in chances])}),")
            print(looks, stops, known, effect, flush=True)
    TABLE.write_text("\n".join([*lines, ")", "# fmt: on", ""]))


if __name__ == "__main__":
    main()
