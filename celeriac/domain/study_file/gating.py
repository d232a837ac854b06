"""The keys of a schedule that say when a night's best takes the champion's place: `gate`, `guard` and `always`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celeriac.domain.guards import Guard, parse_guards, write_guards
from celeriac.domain.space import show
from celeriac.domain.study_file.section import Problems, Section

_FEWEST_PAIRS, _USUAL_PAIRS, _MOST_PAIRS = 2, 18, 200
_LARGEST_FDR = 0.5


@dataclass(frozen=True, slots=True)
class GateSpec:
    """What a schedule asks of its gate.

    `min_gain`: a smaller gain, in units of the metric, is not worth a change. `pairs`: the most of one night. `fdr`:
    the share at most of false promotions among the schedule's (None: each slice by itself). `require_approval`: a
    person has to approve each promotion. `guards` may veto one.
    """

    min_gain: float = 0.0
    pairs: int = _USUAL_PAIRS
    fdr: float | None = None
    require_approval: bool = False
    guards: tuple[Guard, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The canonical form: the keys `gate` and `guard` of a schedule, where they say something."""
        said: dict[str, Any] = {
            "min_gain": self.min_gain or None,
            "pairs": None if self.pairs == _USUAL_PAIRS else self.pairs,
            "fdr": self.fdr,
            "require_approval": self.require_approval or None,
        }
        gate = {key: value for key, value in said.items() if value is not None}
        guard = write_guards(self.guards)
        return ({"gate": gate} if gate else {}) | ({"guard": guard} if guard else {})


def gate(section: Section) -> GateSpec:
    """The gate of a schedule's section."""
    given = section.section("gate", {"min_gain", "pairs", "fdr", "require_approval"})
    fdr = given.number("fdr")
    if fdr is not None and not 0 < fdr <= _LARGEST_FDR:
        given.fail("fdr", f"must be above 0 and at most {_LARGEST_FDR}, not {show(fdr)}")
    return GateSpec(
        min_gain=given.number("min_gain", 0.0) or 0.0,
        pairs=given.whole("pairs", _FEWEST_PAIRS, _MOST_PAIRS, _USUAL_PAIRS),
        fdr=fdr,
        require_approval=flag(given, "require_approval"),
        guards=_guards(section),
    )


def parse_gate(given: Mapping[str, Any], source: str) -> GateSpec:
    """The gate of a mapping with the keys of `schedule.gate`. Raises SpecInvalid, its lines led by `source`."""
    problems = Problems(source, {})
    found = gate(Section({"gate": dict(given)}, "", problems, {"gate"}))
    problems.raise_any()
    return found


def flag(section: Section, key: str, unless_said: bool = False) -> bool:
    """Whether a key is true; `unless_said` where it is not there."""
    value = section.get(key)
    if value is None or isinstance(value, bool):
        return unless_said if value is None else value
    section.fail(key, f"must be true or false, not {show(value)}")
    return unless_said


def _guards(section: Section) -> tuple[Guard, ...]:
    given = section.get("guard")
    if given is None:
        return ()
    if not isinstance(given, Mapping) or not given:
        section.fail("guard", f"must be a mapping of metrics, such as {{latency_ms: {{max: 20}}}}, not {show(given)}")
        return ()
    try:
        return parse_guards(given)
    except ValueError as error:
        section.fail("guard", str(error))
        return ()
