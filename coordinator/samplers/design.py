"""The first points of a study, drawn at once: a Latin hypercube, in which each parameter is spread evenly over its
range.

Drawn whole from the study's seed and taken by trial number, so that parallel workers never get the same point. McKay,
Beckman, Conover, Technometrics 21 (1979). In plain Python: the first suggestions must not wait for a library.
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
