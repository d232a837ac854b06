"""The two database roles of a fleet: each may do what its verbs need, and nothing more.

The coordinator's role reads and writes all rows. The worker's may touch no table: it calls the functions of the schema
`worker`, which are keyed by a lease's token, so that it can do to a trial what the lease of that trial allows. Neither
owns a table, so neither can drop
or alter one: only the role that migrates can. `celeriac migrate` makes both when it is given their passwords, and
undoes what a role has changed of itself.
"""

from typing import LiteralString, cast

from psycopg import sql as template

from celeriac.store.capacity import MAX_CONNECTIONS, worker_limit
from celeriac.store.connection import Session, brief_engine, driver, fetch, parsed, sql
from celeriac.store.migrate import ONE_MIGRATION
from celeriac.store.postgres import functions

COORDINATOR = "celeriac_coordinator"
WORKER = "celeriac_worker"
KNOWN = sql("SELECT 1 FROM pg_roles WHERE rolname = :role")

_GRANTS = {
    COORDINATOR: (
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
        "REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {role}",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}",
    ),
    WORKER: ("GRANT SELECT ON alembic_version TO {role}",),
}
#: What every login may call in a database unless it is taken away: large objects fill the disk, advisory locks stop
#: the coordinator.
OPEN_TO_ALL = sql("""SELECT CAST(p.oid AS regprocedure) AS function, p.proname LIKE 'pg\\_%' AS is_lock FROM pg_proc p
    WHERE p.pronamespace = CAST('pg_catalog' AS regnamespace) AND p.prokind = 'f' AND (p.proname LIKE 'lo\\_%'
        OR p.proname IN ('lowrite', 'loread') OR p.proname LIKE 'pg\\_advisory\\_%'
        OR p.proname LIKE 'pg\\_try\\_advisory\\_%')
    ORDER BY 1""")
IS_SUPERUSER = sql("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")


def grant_roles(url: str, coordinator_password: str, worker_password: str) -> list[str]:
    """Make both roles, or give existing ones these passwords, and exactly the rights above. Safe to repeat, after each
    migration.

    `url` names the role that owns the tables. Passwords reach the server only as SCRAM verifiers, so no log of it
    holds one. Returns what could not be closed, a line each. Raises StoreUnavailable, and SettingInvalid when the role
    of `url` may not make roles.
    """
    database = parsed(url).database or "postgres"
    with brief_engine(url) as engine, engine.connect() as pooled:
        connection = driver(pooled)
        with connection.transaction():
            fetch(connection, ONE_MIGRATION)
            for role, password in ((COORDINATOR, coordinator_password), (WORKER, worker_password)):
                _make(connection, role, password, database)
                _allow(connection, role, database)
            return _close(connection)


def _make(connection: Session, role: str, password: str, database: str) -> None:
    """The role with its password, and with nothing of what it may have set for its own sessions."""
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    names = {"role": template.Identifier(role), "database": template.Identifier(database)}
    if not fetch(connection, KNOWN, role=role):
        _run(connection, "CREATE ROLE {role}", **names)
    # However many workers there are, they leave room for the coordinator and for people: -1 is no limit.
    most = int(fetch(connection, sql(MAX_CONNECTIONS))[0]["most"])
    _run(
        connection,
        "ALTER ROLE {role} LOGIN NOCREATEDB NOCREATEROLE CONNECTION LIMIT {limit} PASSWORD {verifier}",
        limit=template.Literal(worker_limit(most) if role == WORKER else -1),
        verifier=template.Literal(verifier),
        **names,
    )
    _run(connection, "ALTER ROLE {role} RESET ALL", **names)
    _run(connection, "ALTER ROLE {role} IN DATABASE {database} RESET ALL", **names)


def _allow(connection: Session, role: str, database: str) -> None:
    """First nothing, then what the list says: so a right that a later version takes away is gone after its
    migration.
    """
    for statement in (
        "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}",
        "REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {role}",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        "REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC",
        "GRANT CONNECT ON DATABASE {database} TO {role}",
        "GRANT USAGE ON SCHEMA public TO {role}",
        *functions.GRANTS,
        *_GRANTS[role],
    ):
        named = {"role": template.Identifier(role), "database": template.Identifier(database)}
        _run(connection, statement, **named)


def _close(connection: Session) -> list[str]:
    """Take from all logins of this database what Postgres gives to everybody; only a superuser can."""
    if not fetch(connection, IS_SUPERUSER)[0]["rolsuper"]:
        return [
            "the migrating role is no superuser: workers may still make large objects and take advisory locks"
            " (docs/explanation/security.md says how to close that)"
        ]
    for each in fetch(connection, OPEN_TO_ALL):
        names = {"role": template.Identifier(COORDINATOR)}
        function = cast(LiteralString, each["function"])  # as Postgres itself writes it
        _run(connection, f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
        if each["is_lock"]:
            _run(connection, f"GRANT EXECUTE ON FUNCTION {function} TO {{role}}", **names)
    return []


def _run(connection: Session, statement: LiteralString, **values: template.Composable) -> None:
    """Run a statement that takes no parameters, names and values quoted by psycopg."""
    connection.execute(template.SQL(statement).format(**values))
