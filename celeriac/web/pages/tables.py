"""A study's trials as a table: what is asked of it in an address, read into conditions and an order. Pure but for
`table_of`.

A filter is conditions with spaces between them, and all must hold: `lr<0.01 optimizer=adam state=scored`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celeriac.domain.records import StudyRecord, TrialState
from celeriac.store import WebStore
from celeriac.store.api_board import Condition, TrialLine, TrialOrder

A_PAGE = 40
_MOST_CONDITIONS = 12
COLUMNS = ("number", "state", "score", "seconds", "source", "attempts", "fault", "worker", "ended")
_CONDITION = re.compile(r'\s*(?:,|and\b)?\s*([\w.\-]+)\s*(<=|>=|!=|==|=|<|>)\s*("[^"]*"|[^\s,]+)')


@dataclass(frozen=True, slots=True)
class TrialTable:
    """A page of the table; `flaw` says what is wrong with the filter, "" for nothing."""

    parameters: tuple[str, ...]
    lines: tuple[TrialLine, ...]
    of: int
    skip: int
    sort: str
    is_down: bool
    filter: str
    state: TrialState | None
    flaw: str = ""

    @property
    def asked(self) -> dict[str, Any]:
        """What was asked, as its addresses have it."""
        return {"where": self.filter, "state": self.state, "sort": self.sort, "down": "1" if self.is_down else ""}

    @property
    def last(self) -> int:
        """How many trials lie before the end of this page."""
        return self.skip + len(self.lines)


def read_filter(text: str, known: Mapping[str, Any] | set[str]) -> tuple[list[Condition], str]:
    """The conditions of a text, and what is wrong with it: "" for nothing. `known`: the names that may stand in it."""
    found: list[Condition] = []
    at = 0
    while text[at:].strip(" ,"):
        match = _CONDITION.match(text, at)
        if match is None:
            return [], f"cannot read {text[at:].strip()[:40]!r}: write conditions such as lr<0.01 optimizer=adam"
        name, op, value = match.groups()
        if name not in known:
            return [], f"{name} is no column and no parameter; there are {', '.join(sorted(known))}"
        word = value.strip('"').lower()
        figure = _figure(word)
        if figure is None and op not in ("=", "==", "!="):
            return [], f"{name}{op}{value}: {value} is no number"
        found.append(Condition(name, "=" if op == "==" else op, word, figure))
        at = match.end()
    if len(found) > _MOST_CONDITIONS:
        return [], f"{len(found)} conditions: at most {_MOST_CONDITIONS} are looked at"
    return found, ""


def _figure(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def table_of(
    store: WebStore, study: StudyRecord, where: str, state: TrialState | None, sort: str, *, down: bool, skip: int
) -> TrialTable:
    """The page of the table that was asked for."""
    parameters = tuple(study.spec.get("space", {}))
    known = {*COLUMNS, *parameters}
    conditions, flaw = read_filter(where, known)
    if state is not None:
        conditions = [*conditions, Condition("state", "=", str(state).lower())]
    by = sort if sort in known else "number"
    found = store.trial_lines(study.id, TrialOrder(by, down, skip, A_PAGE), conditions)
    return TrialTable(parameters, found.lines, found.of, skip, by, down, where, state, flaw)
