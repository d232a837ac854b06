"""Who takes the place of a trial that fell behind its population, and with which parameters?

Population based training: Jaderberg et al., Population Based Training of Neural Networks, 2017 (arXiv:1711.09846),
with truncation selection. That a trial falls behind is judged at its rung (`celeriac.decide.stop_early`), among those
that came there before it. Its heir copies one of the first of the same records (exploit), goes on from that one's
checkpoint, and changes its parameters (explore).

Promise: an heir follows from the loser's record, the leaders' rows, the heir's number and the study's seed alone, so
it can be decided again from the rows at any time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import floor
from random import Random
from typing import Any

from celeriac.domain.records import Params, RungRecord
from celeriac.domain.space import Choice, Float, Int, Space
from celeriac.domain.space.conditions import is_active
from celeriac.domain.space.parameters import Parameter
from celeriac.domain.stop_rules import Pbt

#: So many leaders are looked at, at most.
MOST_LEADERS = 64


@dataclass(frozen=True, slots=True)
class Leader:
    """A trial among the first at a rung, its parameters, and the step of its newest checkpoint there or before; None
    where it has none.
    """

    number: int
    params: Params
    step: int | None


@dataclass(frozen=True, slots=True)
class HeirDecision:
    """The heir's parameters; whose checkpoint it goes on from, and of which step (None: it starts over), and why."""

    params: dict[str, Any]
    parent: int
    parent_step: int | None
    reason: str


def leaders(rule: Pbt, loser: RungRecord, best: Sequence[RungRecord]) -> list[RungRecord]:
    """Those that may be copied: the first `quantile` of the records that the loser was ranked among, one at least.

    `best`: the best of these, best first.
    """
    count = min(max(floor(loser.place * rule.quantile), 1), MOST_LEADERS)
    return [each for each in best[:count] if each.trial != loser.trial]


def heir(
    rule: Pbt, space: Space, loser: RungRecord, found: Sequence[Leader], *, number: int, seed: int
) -> HeirDecision:
    """Trial `number`, in the place of the loser: a copy of one of the leaders, each with the same chance, changed.

    Those with a checkpoint come before those without one. There must be a leader.
    """
    rng = Random(int.from_bytes(sha256(f"{seed}/{number}/pbt".encode()).digest()[:8], "big"))
    able = [each for each in found if each.step is not None] or list(found)
    parent = rng.choice(sorted(able, key=lambda each: each.number))
    start = "from the beginning: it has no checkpoint there" if parent.step is None else f"from its step {parent.step}"
    reason = (
        f"trial {loser.trial} fell behind at rung {loser.rung}, and of the {len(able)} that led there trial"
        f" {parent.number} was drawn; it goes on {start}"
    )
    return HeirDecision(explored(rule, space, parent.params, rng), parent.number, parent.step, reason)


def explored(rule: Pbt, space: Space, params: Params, rng: Random) -> dict[str, Any]:
    """The parameters of an heir of one with these: each is drawn anew with the chance `resample`, else moved by
    `perturb`; those that `change` does not name stay.
    """
    values: dict[str, Any] = {}
    for name in space.names:
        parameter = space.parameters[name]
        anew, up, place = rng.random() < rule.resample, rng.random() < 0.5, rng.random()
        if not is_active(parameter, values):
            continue
        stays = bool(rule.change) and name not in rule.change
        if name not in params or (anew and not stays):
            values[name] = parameter.from_unit(place)
        else:
            values[name] = params[name] if stays else _moved(parameter, params[name], rule.perturb, up=up)
    return values


def _moved(parameter: Parameter, value: Any, perturb: float, *, up: bool) -> Any:
    """The value times `perturb`, or divided by it, within the range and on its grid, where it moves by one cell at
    least. In a range that is not all above 0 it moves by the share `perturb - 1` of the range; an option stays.
    """
    if isinstance(parameter, Choice):
        return value
    low, high = parameter.low, parameter.high
    if low > 0:
        wanted = value * perturb if up else value / perturb
    else:
        wanted = value + (perturb - 1) * (high - low) * (1 if up else -1)
    cell = parameter.step or (1 if isinstance(parameter, Int) else 0)
    if cell:
        cells = max(round(abs(wanted - value) / cell), 1) * (1 if up else -1)
        wanted = value + cells * cell
        if not low <= wanted <= high:
            wanted = high if up else low
    kept = min(max(wanted, low), high)
    return parameter.fit(round(kept)) if isinstance(parameter, Int) else _on_grid(parameter, kept)


def _on_grid(parameter: Float, value: float) -> float:
    """Rounding noise of the grid's steps removed."""
    return parameter.from_unit(parameter.to_unit(value)) if parameter.step is not None else parameter.fit(value)
