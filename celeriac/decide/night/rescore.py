"""What would a slice's gate have said under other rules? Its past tests decided again, from the pairs in their records.

Pure: verdicts in, one line a night out. Nothing is trained, so there are questions that the rows cannot answer, and
each line says where: a test that would have gone on beyond the pairs that were run, a test that was not run at all,
and all nights after the first on which the slice would have got another champion than it did.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
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
    """One verdict, with what stood beside it: the night's name, when it was due, its slice, and its gate's rules."""

    night: str
    due_at: datetime
    slice: str
    verdict: Champion
    rules: GateRules


@dataclass(frozen=True, slots=True)
class RescoredNight:
    """One night of a slice. `was` and `would`: what the gate said, and says under the other rules; "unknown": the rows
    cannot tell; "": there was no test, and would be none. `pairs`: how many it stands on; `run`: how many there were.
    `caution` and `parted`: why the line is not what would have happened, of itself and because an earlier night came
    out otherwise; "" where it is.
    """

    night: str
    slice: str
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


@dataclass(slots=True)
class _Line:
    """What a slice has come to under the other rules: its contender, if one waits (where it was found, what it brings),
    and why its later nights are not what would have been.
    """

    waits: tuple[tuple[int, int | None], Evidence] = (_NOBODY, Evidence())
    parted: str = ""


def rescore(records: Sequence[NightRecord], changes: Changes, slices: int = 1) -> list[RescoredNight]:
    """Decide each night's test again; `records`: all verdicts, the oldest first; with an `fdr`, which slices spend
    together, those of all the schedule's `slices`.
    """
    found: list[RescoredNight] = []
    lines: defaultdict[str, _Line] = defaultdict(_Line)
    tallies: list[NightTally] = []
    for _, due in groupby(records, lambda each: each.due_at):
        spent, promoted, shares = 0.0, 0, False
        for record in due:
            line = lines[record.slice]
            if record.verdict.kind is not VerdictKind.NIGHT:
                if record.verdict.promoted and record.verdict.kind is not VerdictKind.APPROVED:
                    line.parted = ""  # whoever was champion, a person chose this one
                continue
            rules = changes.of(record.rules)
            told, now = _night(record, rules, line, tallies, slices)
            found.append(replace(told, parted=line.parted))
            _go_on(line, record, told, now)
            if rules.fdr is not None and now is not None and now.looks:
                spent, promoted, shares = (
                    spent + now.level * now.before.weight,
                    promoted + (told.would == "promote"),
                    True,
                )
        if shares:
            tallies.append(NightTally(spent, promoted))
    return found


def _go_on(line: _Line, record: NightRecord, told: RescoredNight, now: GateDecision | None) -> None:
    """What the slice takes along to its next night."""
    evidence = now.evidence if now is not None and told.would == "contender" else None
    line.waits = (_who(record.verdict), evidence) if evidence is not None else (_NOBODY, Evidence())
    unknown = told.would == "unknown"
    if not line.parted and (unknown or (told.differs and "promote" in (told.was, told.would))):
        line.parted = (
            f"since {record.night} the slice {'may' if unknown else 'would'} have had another champion to beat"
        )


def _night(
    record: NightRecord, rules: GateRules, line: _Line, tallies: Sequence[NightTally], slices: int
) -> tuple[RescoredNight, GateDecision | None]:
    """One night, and what the gate says of it under the other rules."""
    verdict, evidence = record.verdict, record.verdict.evidence
    if not evidence.get("challenge"):
        return _untested(record, rules), None
    if not evidence.get("gate"):
        return _told(record, "", "", 0, verdict.reason), None
    challenge = Challenge.read(evidence["challenge"])
    try:
        then = recompute(evidence["gate"])
    except ValueError as error:  # another version's
        was: Said = "promote" if verdict.promoted else "keep"
        return _told(record, was, "unknown", len(evidence.get("pairs", ())), str(error)), None
    before = line.waits[1] if line.waits[0] == _who(verdict) else Evidence()
    level = None if rules.fdr is None else fdr_level(tallies, slices, rules.fdr, before.weight).level
    hoped = hoped_gain(rules, challenge.incumbent.score, challenge.challenger.score)
    now = open_gate(rules, then.past, before=before, level=level, expected_gain=hoped)
    if now.verdict == "more":  # a night that could get no more pairs then could get none now
        now = decide_gate(then.pairs, rules, then.past, before=before, level=level, closing=then.closing)
    dropped = then.before.nights and not before.nights
    caution = "as a contender it would not have waited until this night" if dropped else ""
    if now.verdict == "more":
        reason = f"it would have asked for {now.wanted} pairs, and {len(then.pairs)} were run: {now.reason}"
        return _told(record, then.verdict, "unknown", len(then.pairs), reason, now, caution), now
    return _told(record, then.verdict, now.verdict, len(then.pairs), now.reason, now, caution), now


def _untested(record: NightRecord, rules: GateRules) -> RescoredNight:
    """A night without a test: with a smaller `min_gain` there may have been one."""
    asks_less = rules.min_gain < record.rules.min_gain
    reason = record.verdict.reason
    return _told(record, "", "unknown" if asks_less else "", 0, f"no test was run: {reason}" if asks_less else reason)


def _told(
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
        record.slice,
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
