"""What a schedule's file asks of its nights, as it was when the firing was made."""

from dataclasses import dataclass

from celeriac.decide.gate import GateRules
from celeriac.domain.records import NewStudy
from celeriac.domain.study_file import GateSpec, StudySpec, parse


@dataclass(frozen=True, slots=True)
class NightRules:
    """`always`: search each night, whether it pays or not. `require_approval`: a person has the last word."""

    spec: StudySpec
    gate: GateRules
    always: bool
    require_approval: bool


def rules_of(plan: NewStudy) -> NightRules:
    """Of a firing's plan. Raises SpecInvalid when this version cannot read it."""
    spec = parse(plan.spec, f"firing {plan.name}")
    asked = spec.schedule.gate if spec.schedule else GateSpec()
    gate = GateRules(
        goal=spec.metric.goal, min_gain=asked.min_gain, most_pairs=asked.pairs, fdr=asked.fdr, guards=asked.guards
    )
    return NightRules(spec, gate, bool(spec.schedule and spec.schedule.always), asked.require_approval)
