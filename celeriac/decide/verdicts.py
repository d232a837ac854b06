"""What a slice's line of verdicts says: what waits for a person, which near miss waits for another night, and what a
person has rolled back.
"""

from collections.abc import Iterable, Sequence

from celeriac.domain.records import Champion, Params, VerdictKind


def unanswered(verdicts: Iterable[Champion]) -> Champion | None:
    """The newest verdict that waits for a person; None where none does, or it was answered. `verdicts`: of one slice,
    newest first.
    """
    for each in verdicts:
        if each.kind in (VerdictKind.APPROVED, VerdictKind.REJECTED):
            return None
        if each.awaits:
            return each
    return None


def near_miss(verdicts: Iterable[Champion], standing: int | None) -> Champion | None:
    """The newest test's verdict where that left a contender, and the champion is still the one that it was tested
    against. One that failed by itself since then waits no more. `standing`: the champion's id.
    """
    for each in verdicts:
        challenge, gate = each.evidence.get("challenge"), each.evidence.get("gate")
        if each.evidence.get("challenger_fails"):
            return None
        if each.kind is VerdictKind.NIGHT and challenge and gate:
            waits = gate["said"]["evidence"] is not None and not challenge["champion_fails"]
            return each if waits and challenge["standing"] == standing else None
    return None


def rolled_back(verdicts: Sequence[Champion], params: Params) -> Champion | None:
    """The roll-back that took these parameters from their slice; None where none did, or a person put them there again.
    `verdicts`: of one slice, newest first.
    """
    for each in verdicts:
        if each.promoted and each.kind is not VerdictKind.NIGHT and each.params == params:
            return None
        replaced = next((other for other in verdicts if other.id == each.before_id), None)
        if each.kind is VerdictKind.ROLLBACK and replaced is not None and replaced.params == params:
            return each
    return None
