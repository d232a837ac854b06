"""What would a slice's gate have said under other rules? Its past tests decided again, from the pairs in their records.

Pure: verdicts in, one line a night out. Nothing is trained, so there are questions that the rows cannot answer, and
each line says where: a test that would have gone on beyond the pairs that were run, a test that was not run at all,
and all nights after the first on which the slice would have got another champion than it did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from celeriac.decide.gate import (
    Evidence,
    GateDecision,
    GateRules,
    NightTally,
    decide_gate,
    fdr_level,
    open_gate,
    recompute,
)
from celeriac.decide.night.challenge import Challenge, hoped_gain
from celeriac.domain.records import Champion, VerdictKind

Said = Literal["promote", "keep", "contender", "unknown", ""]

_NOBODY = (0, None)


@dataclass(frozen=True, slots=True)
class NightRecord:
    """One verdict on the slice, with what stood beside it: the night's name, its gate's rules, and, for `fdr`, what
    the schedule's earlier nights had spent, and how many slices it has.
    """

    night: str
    verdict: Champion
    rules: GateRules
    tallies: Sequence[NightTally] = field(default_factory=tuple)
    slices: int = 1


@dataclass(frozen=True, slots=True)
class RescoredNight:
    """`was` and `would`: what the gate said, and says under the other rules; "unknown": the rows cannot tell; "": there
    was no test, and would be none. `pairs`: how many it stands on; `run`: how many there were. `caution` and `parted`:
    why the line is not what would have happened, of itself and because an earlier night came out otherwise; "" where
    it is.
    """

    night: str
    was: Said
    would: Said
    run: int
    pairs: int
    gain: float | None
    interval: tuple[float, float] | None
    p: float | None
    level: float | None
    reason: str
    caution: str = ""
    parted: str = ""

    @property
    def differs(self) -> bool:
        """Whether the other rules say otherwise, as far as the rows can tell."""
        return self.would not in (self.was, "unknown")


@dataclass(frozen=True, slots=True)
class Changes:
    """The other rules: what is None stays as it was. `no_fdr`: each slice by itself."""

    min_gain: float | None = None
    pairs: int | None = None
    fdr: float | None = None
    no_fdr: bool = False

    def of(self, rules: GateRules) -> GateRules:
        """A night's rules with these changes."""
        changed: dict[str, Any] = {"min_gain": self.min_gain, "most_pairs": self.pairs, "fdr": self.fdr}
        found = replace(rules, **{key: value for key, value in changed.items() if value is not None})
        return replace(found, fdr=None) if self.no_fdr else found


def rescore(records: Sequence[NightRecord], changes: Changes) -> list[RescoredNight]:
    """Decide each night's test again; `records`: all verdicts on one slice, the oldest first."""
    found: list[RescoredNight] = []
    waits: tuple[tuple[int, int | None], Evidence] = (_NOBODY, Evidence())
    parted = ""
    for record in records:
        if record.verdict.kind is not VerdictKind.NIGHT:
            if record.verdict.promoted and record.verdict.kind is not VerdictKind.APPROVED:
                parted = ""  # whoever was champion, a person chose this one
            continue
        told, evidence = _night(record, changes.of(record.rules), waits)
        waits = (_who(record.verdict), evidence) if evidence is not None else (_NOBODY, Evidence())
        found.append(replace(told, parted=parted))
        unknown = told.would == "unknown"
        if not parted and (unknown or (told.differs and "promote" in (told.was, told.would))):
            parted = f"since {record.night} the slice {'may' if unknown else 'would'} have had another champion to beat"
    return found


def _night(
    record: NightRecord, rules: GateRules, waits: tuple[tuple[int, int | None], Evidence]
) -> tuple[RescoredNight, Evidence | None]:
    """One night's line, and what its challenger takes along under the other rules."""
    verdict, evidence = record.verdict, record.verdict.evidence
    if not evidence.get("challenge"):
        return _untested(record, rules), None
    challenge = Challenge.read(evidence["challenge"])
    if not evidence.get("gate"):
        return _line(record, "", "", 0, verdict.reason), None
    then = recompute(evidence["gate"])
    before = waits[1] if waits[0] == _who(verdict) else Evidence()
    level = _level(record, rules, before)
    hoped = hoped_gain(rules, challenge.incumbent.score, challenge.challenger.score)
    try:
        opened = open_gate(rules, then.past, before=before, level=level, expected_gain=hoped)
        now = opened if opened.verdict != "more" else _decided(then, rules, before, level)
    except ValueError as error:
        return _line(record, then.verdict, "unknown", len(then.pairs), f"the record cannot be judged so: {error}"), None
    dropped = then.before.nights and not before.nights
    caution = "as a contender it would not have waited until this night" if dropped else ""
    if now.verdict == "more":
        reason = f"it would have asked for {now.wanted} pairs, and {len(then.pairs)} were run: {now.reason}"
        return _line(record, then.verdict, "unknown", len(then.pairs), reason, now, caution), None
    return _line(record, then.verdict, now.verdict, len(then.pairs), now.reason, now, caution), now.evidence


def _decided(then: GateDecision, rules: GateRules, before: Evidence, level: float | None) -> GateDecision:
    """The test on the pairs that there are; a night that could get no more then could get none now."""
    return decide_gate(then.pairs, rules, then.past, before=before, level=level, closing=then.closing)


def _untested(record: NightRecord, rules: GateRules) -> RescoredNight:
    """A night without a test: with a smaller `min_gain` there may have been one."""
    asks_less = rules.min_gain < record.rules.min_gain
    reason = record.verdict.reason
    return _line(record, "", "unknown" if asks_less else "", 0, f"no test was run: {reason}" if asks_less else reason)


def _line(
    record: NightRecord,
    was: Said | Literal["more"],
    would: Said | Literal["more"],
    run: int,
    reason: str,
    now: GateDecision | None = None,
    caution: str = "",
) -> RescoredNight:
    looked = now is not None and bool(now.looks)
    return RescoredNight(
        record.night,
        "unknown" if was == "more" else was,
        "unknown" if would == "more" else would,
        run,
        now.looks[-1].pairs if now is not None and looked else 0,
        now.gain if now else None,
        now.interval if now else None,
        now.p if now is not None and looked else None,
        now.level if now else None,
        reason,
        caution,
    )


def _level(record: NightRecord, rules: GateRules, before: Evidence) -> float | None:
    if rules.fdr is None:
        return None
    return fdr_level(record.tallies, record.slices, rules.fdr, before.weight).level


def _who(verdict: Champion) -> tuple[int, int | None]:
    return verdict.study_id, verdict.trial


def counted_outcomes(nights: Sequence[RescoredNight]) -> Mapping[str, int]:
    """How many nights were tested, promoted then, promote now, say otherwise, and cannot be told."""
    return {
        "nights": len(nights),
        "tested": sum(bool(each.was) for each in nights),
        "promoted": sum(each.was == "promote" for each in nights),
        "would_promote": sum(each.would == "promote" for each in nights),
        "differ": sum(each.differs for each in nights),
        "unknown": sum(each.would == "unknown" for each in nights),
        "pairs_run": sum(each.run for each in nights),
        "pairs": sum(each.pairs if each.would != "unknown" else each.run for each in nights),
    }
