"""The first points of a study: a Latin hypercube, which spreads each parameter evenly over its range.

It is drawn as a whole from the study's seed, and each trial takes the row of its number, so parallel workers never
get the same point. McKay, Beckman, Conover, Technometrics 21 (1979). Plain Python, because the first suggestions
must not wait for a library to load.
"""

from random import Random

from coordinator.samplers.api import dice


def latin_hypercube(columns: int, rows: int, seed: int) -> list[list[float]]:
    """`rows` points of the unit box; in each column every one of `rows` equal cells holds exactly one of them."""
    rng = dice(seed, rows, "latin hypercube")
    drawn = [_column(rows, rng) for _ in range(columns)]
    return [[column[row] for column in drawn] for row in range(rows)]


def _column(rows: int, rng: Random) -> list[float]:
    cells = list(range(rows))
    rng.shuffle(cells)
    return [(cell + rng.random()) / rows for cell in cells]
