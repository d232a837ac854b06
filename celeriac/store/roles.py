"""The two database roles of a fleet: each may do what its verbs need, and nothing more.

The coordinator's role reads and writes all rows. The worker's may move trials, attempts and their study's counters; it cannot open,
move or delete a study, change what a trial is to try, or see a schedule. Neither owns a table, so neither can drop or alter one: only the
role that migrates can. `celeriac migrate` makes both when it is given their passwords.
"""

from typing import LiteralString, cast

import psycopg
from psycopg import sql as template
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from celeriac.store.capacity import MAX_CONNECTIONS, worker_limit
from celeriac.store.connection import explained, fetch, open_engine, parsed, place, sql
from celeriac.store.migrate import ONE_MIGRATION

COORDINATOR = "celeriac_coordinator"
WORKER = "celeriac_worker"
KNOWN = sql("SELECT 1 FROM pg_roles WHERE rolname = :role")

_COUNTED = (
    "waiting, queued, running, paused, scored, pruned, failed, cancelled, best_number, best_score, device_s"
)
_MOVED = (
    "state, score, metrics, step, attempts, faults, fault, detail, signature, worker, ended_no, not_before, queued_at, "
    "started_at, ended_at"
)
_GRANTS = {
    COORDINATOR: (
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
        "REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {role}",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}",
    ),
    WORKER: (
        "GRANT SELECT ON study, trial, attempt, attempt_log, report, rung, checkpoint, device, put_aside, alembic_version TO {role}",
        f"GRANT UPDATE ({_COUNTED}) ON study TO {{role}}",
        f"GRANT UPDATE ({_MOVED}) ON trial TO {{role}}",
        "GRANT INSERT, UPDATE ON attempt, attempt_log TO {role}",
        "GRANT INSERT ON report, rung TO {role}",
        "GRANT INSERT, DELETE ON checkpoint TO {role}",
        "GRANT INSERT, UPDATE, DELETE ON device, put_aside TO {role}",
    ),
}


def grant_roles(url: str, coordinator_password: str, worker_password: str) -> None:
    """Make both roles, or give existing ones these passwords, and exactly the rights above. Safe to repeat, after each migration.

    `url` names the role that owns the tables. Passwords reach the server only as SCRAM verifiers, so no log of it holds one.
    Raises StoreUnavailable, and SettingInvalid when the role of `url` may not make roles.
    """
    engine = open_engine(url, pool_size=1)
    try:
        with (
            engine.execution_options(isolation_level="READ COMMITTED").connect() as connection,
            connection.begin(),
        ):
            fetch(connection, ONE_MIGRATION)
            for role, password in ((COORDINATOR, coordinator_password), (WORKER, worker_password)):
                _make(connection, role, password)
                _allow(connection, role, parsed(url).database or "postgres")
    except SQLAlchemyError as error:
        raise explained(error, place(engine.url)) from error
    finally:
        engine.dispose()


def _make(connection: Connection, role: str, password: str) -> None:
    server = cast("psycopg.Connection[object]", connection.connection.driver_connection).pgconn
    verifier = server.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    verb = "ALTER" if fetch(connection, KNOWN, role=role) else "CREATE"
    statement = (
        f"{verb} ROLE {{role}} LOGIN NOCREATEDB NOCREATEROLE CONNECTION LIMIT {{limit}} PASSWORD {{verifier}}"
    )
    # However many workers there are, they leave room for the coordinator and for people: -1 is no limit.
    most = int(fetch(connection, sql(MAX_CONNECTIONS))[0]["most"])
    named = {
        "role": template.Identifier(role),
        "limit": template.Literal(worker_limit(most) if role == WORKER else -1),
        "verifier": template.Literal(verifier),
    }
    _run(connection, statement, **named)


def _allow(connection: Connection, role: str, database: str) -> None:
    """First nothing, then what the list says: so a right that a later version takes away is gone after its migration."""
    for statement in (
        "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}",
        "REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {role}",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        "REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC",
        "GRANT CONNECT ON DATABASE {database} TO {role}",
        "GRANT USAGE ON SCHEMA public TO {role}",
        *_GRANTS[role],
    ):
        named = {"role": template.Identifier(role), "database": template.Identifier(database)}
        _run(connection, statement, **named)


def _run(connection: Connection, statement: LiteralString, **values: template.Composable) -> None:
    """Run a statement that takes no parameters, names and values quoted by psycopg."""
    text = template.SQL(statement).format(**values).as_string()
    connection.exec_driver_sql(text, execution_options={"no_parameters": True})
