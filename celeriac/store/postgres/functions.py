"""The functions by which a worker speaks to Postgres: its role may call these, and may touch no table.

`sql/*.sql` holds them: each begins with `-- name: verb(argument type, …) -> the columns of its rows`, then what it
does, then one statement, in which `:argument` stands for an argument and `{word}` for what is known here: the states,
by the lifecycle, and the columns, by the records. Each runs with the rights of the tables' owner, and is keyed by a
lease's token, or by the key that tokens were made with. `celeriac migrate` makes all of them anew; so there is one way
on which every program, with or without roles, writes a trial's life.

They are plpgsql because that keeps the plan of a statement for the whole session.
"""

# ruff: noqa: S608 (statements are put together from constants of this room; values are always bound)

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, Table, TextClause

from celeriac.domain.lifecycle import ATTEMPT_TRANSITIONS, TRIAL_TRANSITIONS, AttemptEvent, TrialEvent, sources
from celeriac.domain.records import ENDED, Fault, Outcome, TrialState
from celeriac.store import tables
from celeriac.store.connection import DIALECT, fetch, sql
from celeriac.store.postgres import rows
from celeriac.store.values import TRIAL_AFTER

SCHEMA = "worker"
FILES = ("leases", "reports", "ends", "devices")
DAY_S = 86_400

_NAME = re.compile(r"^-- name: (\w+)\((.*)\) -> (.+)$")
_ARGUMENT = re.compile(r"(?<!:):([a-z_]\w*)")
_WORD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Function:
    """One verb of a worker: `call` runs it, `create` makes it. `arguments` maps names to types."""

    name: str
    arguments: Mapping[str, str]
    returns: str
    about: str
    body: str

    @property
    def call(self) -> TextClause:
        """The statement that runs it, with the arguments as parameters."""
        given = ", ".join(f"p_{name} => CAST(:{name} AS {kind})" for name, kind in self.arguments.items())
        return sql(f"SELECT * FROM {SCHEMA}.{self.name}({given})")

    @property
    def create(self) -> str:
        """The statement that makes it. The path of its names is its own: nobody's tables can stand in for ours."""
        taken = ", ".join(f"p_{name} {kind}" for name, kind in self.arguments.items())
        body = _ARGUMENT.sub(r"p_\1", self.body)
        return f"""CREATE FUNCTION {SCHEMA}.{self.name}({taken}) RETURNS TABLE ({self.returns})
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $function$
#variable_conflict use_column
BEGIN
-- {self.about}
RETURN QUERY {body};
END $function$"""


@cache
def functions() -> Mapping[str, Function]:
    """All functions, by name."""
    words, found = _words(), {}
    for file in FILES:
        text = (Path(__file__).parent / "sql" / f"{file}.sql").read_text()
        for part in re.split(r"^(?=-- name: )", text, flags=re.MULTILINE)[1:]:
            function = _parsed(part, words)
            found[function.name] = function
    return found


def call(name: str) -> TextClause:
    """The statement that calls the function of this name."""
    return functions()[name].call


@cache
def digest() -> str:
    """What tells these functions from those of another version of this program."""
    return hashlib.sha256("\n".join(each.create for each in functions().values()).encode()).hexdigest()[:16]


def install(connection: Connection) -> None:
    """Make all functions anew; who could call those before them can call these."""
    users = [row["grantee"] for row in fetch(connection, _USERS, schema=SCHEMA)]
    statements = [
        f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE",
        f"CREATE SCHEMA {SCHEMA}",
        *(each.create for each in functions().values()),
        f"REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {SCHEMA} FROM PUBLIC",
        f"COMMENT ON SCHEMA {SCHEMA} IS '{digest()}'",
        *(statement.format(role=f'"{user}"') for user in users for statement in GRANTS),
    ]
    for statement in statements:
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


#: What a role needs to call them.
GRANTS = (
    f"GRANT USAGE ON SCHEMA {SCHEMA} TO {{role}}",
    f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {SCHEMA} TO {{role}}",
)
_USERS = sql(
    """SELECT DISTINCT r.rolname AS grantee FROM pg_namespace n, aclexplode(n.nspacl) x
    JOIN pg_roles r ON r.oid = x.grantee
    WHERE n.nspname = :schema AND x.grantee <> n.nspowner"""
)


# -- reading the files
# ------------------------------------------------------------------------------------------------------
def _parsed(part: str, words: Mapping[str, str]) -> Function:
    head, *lines = part.strip().splitlines()
    named = _NAME.match(" ".join(_filled(head, words).split()))
    if named is None:
        raise ValueError(f"not the head of a function: {head}")
    said = [line.removeprefix("-- ") for line in lines if line.startswith("-- ")]
    statement = "\n".join(line for line in lines if not line.startswith("-- "))
    arguments = dict(each.strip().split(" ", 1) for each in named[2].split(","))
    return Function(named[1], arguments, named[3], " ".join(said), _filled(statement, words))


def _filled(text: str, words: Mapping[str, str]) -> str:
    """The text with its `{words}` filled in, and those in them."""
    while _WORD.search(text):
        text = _WORD.sub(lambda found: words[found[1]], text)
    return text


def _words() -> dict[str, str]:
    """What `{word}` stands for."""
    trial = f"{_returned(rows.TRIAL_ALONE, tables.trial)}, last_step bigint, last_value float8, device_kind text"
    return {
        **{f"may_{event}": _listed(_sources(event)) for event in TrialEvent},
        **{f"after_{event}": _listed(_targets(event)) for event in TrialEvent},
        "after_release": _listed([ATTEMPT_TRANSITIONS[None][AttemptEvent.RELEASE]]),
        "adopted": _listed([ATTEMPT_TRANSITIONS[Outcome.SUPERSEDED][AttemptEvent.ADOPT]]),
        "ways": ", ".join(_ways()),
        "day_s": str(DAY_S),
        "keep_tail": "ON CONFLICT (study_id, trial, attempt) DO UPDATE SET tail = excluded.tail",
        "trial": trial,
        "trial_alone": rows.TRIAL_ALONE,
        "trial_columns": rows.TRIAL,
        "trials": rows.TRIALS,
        "newest_attempt": rows.NEWEST_ATTEMPT,
        "attempt": _returned(rows.ATTEMPT, tables.attempt),
        "attempt_columns": rows.ATTEMPT,
        "checkpoint": _returned(rows.CHECKPOINT, tables.checkpoint),
        "checkpoint_columns": rows.CHECKPOINT,
        "rung": _returned(rows.RUNG, tables.rung),
        "rung_columns": rows.RUNG,
        "open_attempts": rows.OPEN_ATTEMPTS,
        "counted": ", ".join(f"{name} = study.{name} + {_is(name)}" for name in rows.COUNTERS if name != "running"),
        "sound": (
            f"""(:fault IS NULL OR :fault IN ({_listed(Fault)}))
            AND :device_s >= 0 AND :device_s < CAST('Infinity' AS float8)"""
        ),
        **_PHRASES,
    }


#: What several functions have in common.
_PHRASES = {
    "given": (
        """token text, study_id bigint, study text, params json, spec json, code_root text, fingerprint text,
        slice jsonb, due_at timestamptz,
        faults jsonb, source text, lease_until timestamptz"""
    ),
    "open_attempt": (
        """token text, study_id bigint, study text, number int, attempt int, worker text, spec json, faults jsonb,
        has_checkpoint boolean, has_progressed boolean, leased_at timestamptz, lease_s float8,
        lease_until timestamptz"""
    ),
    "end": (
        """token text, attempt_event text, trial_event text, score float8, metrics json, step bigint,
        fault text, detail text, traceback text, signature text, device_s float8, peak_memory_bytes bigint,
        log_tail text, digest text,
        forgives boolean, wait_s float8"""
    ),
    "noted": (
        """fault = :fault, detail = :detail, traceback = :traceback, device_s = :device_s,
        peak_memory_bytes = :peak_memory_bytes, digest = :digest"""
    ),
    "best": (
        """best_number = CASE WHEN {is_better} THEN t.number ELSE study.best_number END,
        best_score = CASE WHEN {is_better} THEN t.score ELSE study.best_score END"""
    ),
    # The first of equals stays the best.
    "is_better": (
        """t.state = 'SCORED' AND (study.best_score IS NULL OR CASE study.goal
        WHEN 'maximize' THEN t.score > study.best_score ELSE t.score < study.best_score END)"""
    ),
    "of_its_rung": "r.study_id = c.study_id AND r.bracket = c.bracket AND r.rung = c.rung",
    # The half of a token before the point says nothing; only who has the key can tell the half behind it
    # (`celeriac.store.values`).
    "made_with_key": (
        """a.token = split_part(a.token, '.', 1) || '.'
        || left(encode(sha256(convert_to(:key || split_part(a.token, '.', 1), 'UTF8')), 'hex'), 32)"""
    ),
    "owner": "left(encode(sha256(convert_to(:key, 'UTF8')), 'hex'), 32)",
    "reported": (
        """WITH e AS (
    UPDATE attempt SET last_step = :last_step, last_value = :last_value
    WHERE token = :token AND ended_at IS NULL RETURNING study_id, trial, number
), x AS (
    SELECT e.study_id, e.trial, e.number AS attempt, r.* FROM e, json_to_recordset(:reports)
        AS r(step bigint, value float8, metrics json, at timestamptz, path text, sha256 text, size_bytes bigint)
), r AS (
    INSERT INTO report (study_id, trial, attempt, step, value, metrics, at)
    SELECT study_id, trial, attempt, step, value, metrics, coalesce(at, clock_timestamp()) FROM x
    ON CONFLICT DO NOTHING
), k AS (
    INSERT INTO checkpoint (study_id, trial, attempt, step, path, sha256, size_bytes)
    SELECT study_id, trial, attempt, step, path, sha256, size_bytes FROM x WHERE path IS NOT NULL
    ON CONFLICT DO NOTHING
)"""
    ),
}


def _listed(names: Iterable[object]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _is(counter: str) -> str:
    return f"CAST(t.state = '{counter.upper()}' AS int)"


def _sources(event: TrialEvent) -> tuple[TrialState, ...]:
    return sources(TRIAL_TRANSITIONS, event)


def _targets(event: TrialEvent) -> set[TrialState]:
    return {events[event] for events in TRIAL_TRANSITIONS.values() if event in events}


def _ways() -> Iterator[str]:
    """How an open attempt and its trial may end together: events, outcome, the trial's state, and whether that is its
    end.
    """
    running = TRIAL_TRANSITIONS[TrialState.RUNNING]
    for attempt_event, trial_events in TRIAL_AFTER.items():
        for trial_event in sorted(trial_events):
            outcome, state = ATTEMPT_TRANSITIONS[None][attempt_event], running[trial_event]
            yield f"({_listed([attempt_event, trial_event, outcome, state])}, {str(state in ENDED).lower()})"


def _returned(columns: str, table: Table) -> str:
    """The columns of a result with their types, as the table has them."""
    names = [column.strip().partition(".")[2] for column in columns.split(",")]
    return ", ".join(f"{name} {table.c[name].type.compile(DIALECT)}" for name in names)
