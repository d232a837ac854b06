"""Early stopping of one attempt: its reports go in, the rungs that they cross come out, and the first verdict to stop
is kept.

The runner's thread calls `take` for each report, and `hear` with what the store answered. What the rule says is
decided in `celeriac.decide.stop_early`; here is only what one attempt must remember. The first verdict to stop stays,
whatever comes after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from celeriac.decide.stop_early import (
    Judged,
    Progress,
    StopDecision,
    at_rung,
    followed,
    judged,
    keeps_score,
    resource_of,
)
from celeriac.domain.records import Crossing, Lease, Report, RungRecord
from celeriac.domain.stop_rules import SECONDS


@dataclass(slots=True)
class Pruner:
    """One attempt and its rule.

    seconds: what earlier attempts had trained up to where this one goes on. goes_on: the step of a report that was
    judged and goes on, until that was told. missing: the last report has not told what the rule counts by.
    """

    who: Judged
    course: Progress = field(default_factory=Progress)
    seconds: float = 0.0
    decision: StopDecision | None = None
    goes_on: int | None = None
    missing: bool = False
    _newest: int = -1

    @property
    def keeps_score(self) -> bool:
        """Whether a score that the stopped trial returns all the same counts."""
        return keeps_score(self.who.rule)

    def resume(self, before: Sequence[Report]) -> None:
        """Go on after these reports of earlier attempts. Their rungs are crossed again: the records that they left are
        found.
        """
        for report in before:
            self.course = replace(followed(self.who, self.course, report).course, rung=-1)
            if self.who.rule.resource == SECONDS:
                self.seconds = resource_of(self.who.rule, report.step, report.metrics) or self.seconds

    def take(self, report: Report, trained_s: float) -> tuple[Report, Crossing | None]:
        """The report, with the time that it was measured to have taken if the rule counts seconds, and the rung it
        crosses.
        """
        rule = self.who.rule
        if rule.resource == SECONDS and SECONDS not in report.metrics:
            report = replace(report, metrics={**report.metrics, SECONDS: round(self.seconds + trained_s, 3)})
        self.missing = resource_of(rule, report.step, report.metrics) is None
        step = followed(self.who, self.course, report)
        self.course = step.course
        self._keep(step.decision)
        self._newest = report.step
        if step.crossing is None:
            self.goes_on = report.step
        return report, step.crossing

    def hear(self, records: Sequence[RungRecord]) -> None:
        """Judge what the store answered."""
        for record in records:
            self._keep(at_rung(self.who, record))
        self.goes_on = self._newest

    def _keep(self, decision: StopDecision | None) -> None:
        if decision is not None and decision.stop and self.decision is None:
            self.decision = decision


def pruner_of(lease: Lease) -> Pruner | None:
    """The pruner of a leased trial; None where its study stops none early."""
    rule = lease.plan.stop_rule
    if rule is None:
        return None
    return Pruner(judged(rule, lease.plan.goal, lease.number, lease.source, lease.born_step))
