"""Guards: limits on a reported metric that can veto a promotion. `guard: {latency_ms: {max: 20}}` says a fixed limit,
`guard: {recall: {at_least: champion - 0.01}}` one that moves with the champion.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_OF_CHAMPION = re.compile(r"champion\s*(?:([+-])\s*(\S+))?")
_FORMS = "a number, `champion`, or `champion - NUMBER`"


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit: `value`, or `value` added to the champion's mean tonight."""

    value: float
    of_champion: bool = False

    def at(self, champion: float | None) -> float | None:
        """The limit as a number; None where it needs the champion's mean and there is none."""
        if not self.of_champion:
            return self.value
        return None if champion is None else champion + self.value

    def __str__(self) -> str:
        if not self.of_champion:
            return f"{self.value:g}"
        return f"champion {'-' if self.value < 0 else '+'} {abs(self.value):g}" if self.value else "champion"


@dataclass(frozen=True, slots=True)
class Guard:
    """The challenger's mean of `metric` must be at most `max` and at least `at_least`, where these are given."""

    metric: str
    max: Bound | None = None
    at_least: Bound | None = None


def parse_bound(given: object) -> Bound:
    """A bound as a file writes it. Raises ValueError with the forms that there are."""
    if isinstance(given, (int, float)) and not isinstance(given, bool) and math.isfinite(given):
        return Bound(float(given))
    found = _OF_CHAMPION.fullmatch(given.strip()) if isinstance(given, str) else None
    if found is None:
        raise ValueError(f"a bound is {_FORMS}, not {given!r}")
    sign, number = found.groups()
    try:
        value = float(number) if number else 0.0
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"a bound is {_FORMS}, not {given!r}")
    return Bound(-value if sign == "-" else value, of_champion=True)


def parse_guards(given: Mapping[str, Any]) -> tuple[Guard, ...]:
    """The `guard` key of a file: {metric: {max: …, at_least: …}}. Raises ValueError that names the metric."""
    guards = []
    for metric, limits in given.items():
        if not isinstance(limits, Mapping) or not limits or set(limits) - {"max", "at_least"}:
            raise ValueError(f"{metric}: a guard is `max`, `at_least` or both, not {limits!r}")
        try:
            bounds = {key: parse_bound(value) for key, value in limits.items()}
        except ValueError as error:
            raise ValueError(f"{metric}: {error}") from None
        guards.append(Guard(str(metric), **bounds))
    return tuple(guards)


def write_guards(guards: tuple[Guard, ...]) -> dict[str, dict[str, float | str]]:
    """Guards as `parse_guards` reads them: for a record."""
    written: dict[str, dict[str, float | str]] = {}
    for guard in guards:
        limits = {"max": guard.max, "at_least": guard.at_least}
        written[guard.metric] = {
            key: (
                f"champion {'-' if bound.value < 0 else '+'} {abs(bound.value)!r}" if bound.of_champion else bound.value
            )
            for key, bound in limits.items()
            if bound is not None
        }
    return written
