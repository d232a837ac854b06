"""The statements of `sql/*.sql`, by name: all SQL that the store speaks, but for tables, roles and migrations.

Each begins with `-- name: verb`, then what is to be said of it, then the statement, in which `:argument` stands for a
value and `{word}` for what is known here: the states, by the lifecycle; the columns, by the records; and what several
statements have in common, the phrases of `phrases.sql`. One with arguments and results, `-- name: verb(argument type,
…) -> column type, …`, is a worker's, and is called as a function of the database (`functions.py`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Table

from celeriac.domain.lifecycle import ATTEMPT_TRANSITIONS, TRIAL_TRANSITIONS, AttemptEvent, TrialEvent, sources
from celeriac.domain.records import (
    ALIVE_BEATS,
    ENDED,
    WORKING,
    Attempt,
    Champion,
    Checkpoint,
    Counts,
    Device,
    Fault,
    Firing,
    Outcome,
    PutAside,
    Replay,
    RungRecord,
    Schedule,
    ScheduleEdit,
    SliceDue,
    StudyRecord,
    TrialRecord,
    TrialState,
)
from celeriac.store import tables
from celeriac.store.connection import DIALECT, sql
from celeriac.store.refusals import TRIAL_AFTER

SCHEMA = "worker"
COUNTERS = tuple(field.name for field in fields(Counts))

_HEAD = re.compile(r"^-- (name|phrase): (\w+)(?:\((.*)\) -> (.+))?$")
_ARGUMENT = re.compile(r"(?<!:):([a-z_]\w*)")
_WORD = re.compile(r"\{(\w+)\}")
_FIRST_DUE = "(SELECT min(d.next_due_at) FROM schedule_slice d WHERE d.schedule = sc.name) AS next_due_at"
_RECORDS: tuple[tuple[type[Any], str, Table], ...] = (
    (Attempt, "a", tables.attempt),
    (Checkpoint, "c", tables.checkpoint),
    (Champion, "ch", tables.champion),
    (Device, "d", tables.device),
    (Firing, "f", tables.firing),
    (PutAside, "p", tables.put_aside),
    (Replay, "rp", tables.replay),
    (RungRecord, "r", tables.rung),
    (ScheduleEdit, "se", tables.schedule_edit),
    (SliceDue, "sd", tables.schedule_slice),
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One of the files' statements, or a phrase; `takes` and `returns` are None where no function is made of it."""

    kind: str
    name: str
    takes: str | None
    returns: str | None
    about: str
    body: str

    @property
    def arguments(self) -> list[tuple[str, str]]:
        """A function's arguments, each with its type."""
        taken = _filled(self.takes or "").split(",")
        return [(name, kind) for name, kind in (each.strip().split(" ", 1) for each in taken)]

    @property
    def create(self) -> str:
        """What makes the function. The path of its names is its own: nobody's tables can stand in for ours.

        It is plpgsql because that keeps the plan of a statement for the whole session.
        """
        taken = ", ".join(f"p_{name} {kind}" for name, kind in self.arguments)
        body = _ARGUMENT.sub(r"p_\1", _filled(self.body))
        return f"""CREATE FUNCTION {SCHEMA}.{self.name}({taken}) RETURNS TABLE ({_filled(self.returns or "")})
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $function$
#variable_conflict use_column
BEGIN
-- {self.about}
RETURN QUERY {body};
END $function$"""


@cache
def statement(name: str, **words: str) -> str:
    """What is run under this name; `words` are those that it leaves open."""
    found = statements()[name]
    if found.takes is None:
        return sql(_filled(found.body, **words))
    given = ", ".join(f"p_{argument} => CAST(:{argument} AS {kind})" for argument, kind in found.arguments)
    return sql(f"SELECT * FROM {SCHEMA}.{name}({given})")  # noqa: S608 (names and types of the files alone)


@cache
def statements(kind: str = "name") -> Mapping[str, Statement]:
    """All statements, or all phrases, by name."""
    files = sorted((Path(__file__).parent / "sql").glob("*.sql"))
    parts = (re.split(r"^(?=-- (?:name|phrase): )", file.read_text(), flags=re.MULTILINE)[1:] for file in files)
    found = [_parsed(part) for of_file in parts for part in of_file]
    return {each.name: each for each in found if each.kind == kind}


def _parsed(part: str) -> Statement:
    head, *lines = part.strip().splitlines()
    found = _HEAD.match(head)
    if found is None:
        raise ValueError(f"not the head of a statement: {head}")
    about = " ".join(line.removeprefix("-- ") for line in lines if line.startswith("-- "))
    body = "\n".join(line for line in lines if not line.startswith("-- "))
    kind, name, takes, returns = found.groups()
    return Statement(kind, name, takes, returns, about, body)


def _filled(text: str, **words: str) -> str:
    """The text with its `{words}` filled in, and those in them."""
    known = {**_words(), **words}
    while _WORD.search(text):
        text = _WORD.sub(lambda found: known[found[1]], text)
    return text


@cache
def _words() -> Mapping[str, str]:
    """What `{word}` stands for."""
    study = [name for name in _names(StudyRecord) if name != "counts"]
    schedule = [name for name in _names(Schedule) if name != "next_due_at"]
    # A trial's newest attempt tells the rest of its record.
    trial = [name for name in _names(TrialRecord) if name in tables.trial.c]
    alone = _of("t", trial)
    return {
        **{each.name: each.body for each in statements("phrase").values()},
        **{f"may_{event}": _listed(_sources(event)) for event in TrialEvent},
        **{f"after_{event}": _listed(_targets(event)) for event in TrialEvent},
        "after_release": _listed([ATTEMPT_TRANSITIONS[None][AttemptEvent.RELEASE]]),
        "adopted": _listed([ATTEMPT_TRANSITIONS[Outcome.SUPERSEDED][AttemptEvent.ADOPT]]),
        "ways": ", ".join(_ways()),
        "faults": _listed(Fault),
        "is_working": f"f.state IN ({_listed(WORKING)})",
        "stage_of_state": _stage_of_state(),
        "day_s": "86400",
        "alive_beats": str(ALIVE_BEATS),
        "most": str(2**63 - 1),
        "counted": ", ".join(
            f"{name} = study.{name} + CAST(t.state = '{name.upper()}' AS int)" for name in COUNTERS if name != "running"
        ),
        **{f"{table.name}_columns": _of(alias, _names(record)) for record, alias, table in _RECORDS},
        **{table.name: _typed(table, _names(record)) for record, _, table in _RECORDS},
        "schedule_columns": f"{_of('sc', schedule)}, {_FIRST_DUE}",
        "study_columns": _of("s", [*study, *COUNTERS]),
        "study_counters": _of("s", COUNTERS),
        "trial_alone": alone,
        "trial_columns": f"{alone}, a.last_step, a.last_value, coalesce(a.device_kind, '') AS device_kind",
        "untried": f"{alone}, CAST(NULL AS bigint) AS last_step, CAST(NULL AS float8) AS last_value, '' AS device_kind",
        "trial": f"{_typed(tables.trial, trial)}, last_step bigint, last_value float8, device_kind text",
    }


def _stage_of_state() -> str:
    """The stage that a working firing `f` is in."""
    cases = " ".join(f"WHEN '{state}' THEN '{stage}'" for state, stage in WORKING.items() if stage)
    return f"CASE f.state {cases} END"


def _names(record: type[Any]) -> list[str]:
    return [field.name for field in fields(record)]


def _of(alias: str, names: Sequence[str]) -> str:
    return ", ".join(f"{alias}.{name}" for name in names)


def _typed(table: Table, names: Sequence[str]) -> str:
    """The columns of a result with their types, as the table has them."""
    return ", ".join(f"{name} {table.c[name].type.compile(DIALECT)}" for name in names)


def _listed(names: Iterable[object]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _sources(event: TrialEvent) -> tuple[TrialState, ...]:
    return sources(TRIAL_TRANSITIONS, event)


def _targets(event: TrialEvent) -> set[TrialState]:
    return {events[event] for events in TRIAL_TRANSITIONS.values() if event in events}


def _ways() -> Iterator[str]:
    """How an open attempt and its trial may end together: events, outcome, the trial's state, and whether it ends."""
    running = TRIAL_TRANSITIONS[TrialState.RUNNING]
    for attempt_event, trial_events in TRIAL_AFTER.items():
        for trial_event in sorted(trial_events):
            outcome, state = ATTEMPT_TRANSITIONS[None][attempt_event], running[trial_event]
            yield f"({_listed([attempt_event, trial_event, outcome, state])}, {str(state in ENDED).lower()})"
