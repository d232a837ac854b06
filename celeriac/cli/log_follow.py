"""A trial's output, once or as it grows. It comes from Postgres, so the host does not matter."""

from collections.abc import Iterator
from typing import Any

from celeriac.cli.exit_codes import FAILED, LEFT, OK
from celeriac.cli.live import held_interrupts, pause_s
from celeriac.cli.screen import is_terminal, remark
from celeriac.cli.text import harmless
from celeriac.client.study import Study
from celeriac.domain.errors import UnknownTrial
from celeriac.domain.records import CLOSED, ENDED, Attempt

_LOOK_S = 1.0
_ANCHOR = 400  # characters of the old tail that are looked for in the new one


def print_log(study: Study, number: int, attempt: int | None) -> int:
    """Print the tail of one attempt's output; the exit code."""
    chosen = _attempt(study, number, attempt)
    if chosen is None:
        trial = study.trial(number)
        remark(f"celeriac: trial {number} of {study.name} is {trial.state}: it has not run yet, so it printed nothing")
        return FAILED
    tail = study.log_tail(number, chosen.number)
    if tail:
        print(_shown(tail), end="" if tail.endswith("\n") else "\n")
    else:
        remark(_nothing(study, number, chosen))
    if chosen.traceback and chosen.traceback.strip() not in tail:
        remark(chosen.traceback.rstrip())
    if where := _where(study, number, chosen, tail):
        remark(f"({where})")
    return OK


def log_form(study: Study, number: int, attempt: int | None) -> dict[str, Any]:
    """The same as JSON; `attempt` null: it has not run yet."""
    chosen, trial = _attempt(study, number, attempt), study.trial(number)
    told: dict[str, Any] = {"study": study.name, "trial": number, "state": trial.state, "attempt": None}
    if chosen is None:
        return {**told, "tail": "", "traceback": "", "path": "", "worker": ""}
    tail = study.log_tail(number, chosen.number)
    where = {"path": chosen.log_path, "worker": chosen.worker}
    return {**told, "attempt": chosen.number, "tail": tail, "traceback": chosen.traceback, **where}


def _shown(output: str) -> str:
    """As it was printed, into a file or a pipe; on a terminal without what would take hold of it."""
    return harmless(output) if is_terminal() else output


def _nothing(study: Study, number: int, attempt: Attempt) -> str:
    """Why there is nothing to print. A closed study may have been pruned, which its rows do not tell."""
    told = f"attempt {attempt.number} of trial {number} printed nothing"
    if study.state in CLOSED:
        return f"{told}, or what it printed was pruned since (`celeriac prune`)"
    return told if attempt.ended_at else f"{told} so far"


def _where(study: Study, number: int, attempt: Attempt, tail: str) -> str:
    """Which attempt this was if there are others, and which file has its whole output."""
    told = []
    if (attempts := len(study.attempts_of([number])[number])) > 1:
        told.append(f"attempt {attempt.number} of {attempts}; `--attempt` chooses another")
    if tail and attempt.log_path:
        told.append(f"its file: {attempt.log_path} on the host of {attempt.worker}")
    return "; ".join(told)


def follow_log(study: Study, number: int, attempt: int | None) -> int:
    """Print what the trial prints until it ends, over all its attempts unless one was asked for; the exit code."""
    with held_interrupts():
        try:
            for piece in _pieces(study, number, attempt):
                print(_shown(piece), end="", flush=True)
        except KeyboardInterrupt:
            return LEFT
    return OK


def _pieces(study: Study, number: int, attempt: int | None) -> Iterator[str]:
    shown: Attempt | None = None
    before = ""
    while True:
        ended = study.trial(number).state in ENDED  # read first: what was printed before the end is in the tail then
        chosen = _attempt(study, number, attempt)
        if chosen is not None:
            if shown is None or shown.number != chosen.number:
                remark(f"--- trial {number}, attempt {chosen.number}, on {chosen.worker}")
                before = ""
            tail = study.log_tail(number, chosen.number)
            yield grown(before, tail)
            shown, before = chosen, tail
        if ended or (attempt is not None and chosen is not None and chosen.ended_at is not None):
            return
        pause_s(_LOOK_S)


def grown(before: str, after: str) -> str:
    """What a tail shows that the one before did not; a tail that moved on by more than its length shows a gap."""
    if after.startswith(before):
        return after[len(before) :]
    anchor = before[-_ANCHOR:]
    found = after.rfind(anchor)
    return after[found + len(anchor) :] if found >= 0 else f"\n[…]\n{after}"


def _attempt(study: Study, number: int, wanted: int | None) -> Attempt | None:
    """The attempt asked for, or the newest. Raises UnknownTrial."""
    attempts = study.attempts_of([study.trial(number).number])[number]
    if wanted is None:
        return attempts[-1] if attempts else None
    for each in attempts:
        if each.number == wanted:
            return each
    raise UnknownTrial(f"trial {number} of {study.name} has no attempt {wanted}; it has had {len(attempts)}")
