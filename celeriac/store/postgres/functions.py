"""The functions by which a worker speaks to Postgres: its role may call these, and may touch no table.

They are the statements that have arguments and results (`statements.py`). Each runs with the rights of the tables'
owner, and is keyed by a lease's token, or by the key that tokens were made with. `celeriac migrate` makes all of them
anew; so there is one way on which every program, with or without roles, writes a trial's life.
"""

import hashlib
from functools import cache

from celeriac.store.connection import Session, fetch, sql
from celeriac.store.postgres.statements import SCHEMA, statement, statements

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


@cache
def creates() -> tuple[str, ...]:
    """The statements that make them."""
    return tuple(each.create for each in statements().values() if each.takes is not None)


@cache
def digest() -> str:
    """What tells these functions from those of another version of this program."""
    return hashlib.sha256("\n".join(creates()).encode()).hexdigest()[:16]


def installed(connection: Session) -> str | None:
    """The digest of the functions that the database has; None where it has none."""
    found: str | None = fetch(connection, statement("functions"), schema=SCHEMA)[0]["digest"]
    return found


def install(connection: Session) -> None:
    """Make all functions anew; who could call those before them can call these."""
    users = [row["grantee"] for row in fetch(connection, _USERS, schema=SCHEMA)]
    for each in (
        f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE",
        f"CREATE SCHEMA {SCHEMA}",
        *creates(),
        f"REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {SCHEMA} FROM PUBLIC",
        f"COMMENT ON SCHEMA {SCHEMA} IS '{digest()}'",
        *(grant.format(role=f'"{user}"') for user in users for grant in GRANTS),
    ):
        connection.execute(each.encode())
