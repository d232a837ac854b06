"""Guards may veto a promotion, and nothing else: they never help one."""

import math
from collections.abc import Iterator, Sequence

from celeriac.decide.gate.records import Pair
from celeriac.domain.guards import Bound, Guard


def vetoes(pairs: Sequence[Pair], guards: Sequence[Guard], *, clear: bool = False) -> list[str]:
    """What each broken guard says, or nothing. A guard is held against the challenger's mean over the pairs; with
    `clear`, it counts as broken only where every single pair breaks it, so that a test need not go on in vain.
    """
    found = []
    for guard in guards:
        if not clear or all(any(_broken([pair], guard)) for pair in pairs):
            found += list(_broken(pairs, guard))
    return found


def _broken(pairs: Sequence[Pair], guard: Guard) -> Iterator[str]:
    new = _mean([pair.challenger.metrics.get(guard.metric) for pair in pairs])
    old = _mean([pair.champion.metrics.get(guard.metric) for pair in pairs])
    if new is None:
        yield f"guard {guard.metric}: not every run of the challenger reported a finite {guard.metric}"
        return
    for word, bound, sign in (("at most", guard.max, 1.0), ("at least", guard.at_least, -1.0)):
        if bound is None:
            continue
        limit = bound.at(old)
        if limit is None:
            yield f"guard {guard.metric}: not every run of the champion reported a finite {guard.metric}"
        elif sign * (new - limit) > 0:
            yield f"guard {guard.metric}: {new:.6g} is not {word} {_limit(bound, limit)}"


def _limit(bound: Bound, value: float) -> str:
    return f"{value:.6g} ({bound})" if bound.of_champion else f"{value:.6g}"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None
