"""Bringing a database to this program's schema."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from celeriac.store.connection import SESSION, Session, brief_engine, driver, fetch, place, sql
from celeriac.store.postgres import functions
from celeriac.store.revision import FOUND, REVISION, agree

HAS_REVISION = sql("SELECT to_regclass('alembic_version') IS NOT NULL AS known")
#: One migration at a time, however many start; another key than any study's.
ONE_MIGRATION = sql("SELECT pg_advisory_xact_lock(-1)")


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The revision found (None: no tables yet), the one this program needs, and the digest of the functions found."""

    found: str | None
    needed: str
    functions: str | None

    @property
    def current(self) -> bool:
        """Whether program and database agree."""
        return self.found == self.needed and self.functions == functions.digest()


def schema_state(url: str) -> SchemaState:
    """What the database has. Raises StoreUnavailable."""
    with brief_engine(url) as engine, engine.connect() as connection:
        return _state(driver(connection))


def migrate(url: str) -> SchemaState:
    """Bring the database to this program's schema, from empty or from any older one; the state it had before.

    Safe to run twice and from two places at once. Raises StoreUnavailable, and SchemaMismatch when the database is
    newer.
    """
    unhurried = {**SESSION, "statement_timeout": "0", "lock_timeout": "60s"}  # a big table may take its time
    with brief_engine(url, session=unhurried) as engine:
        return _migrated(engine)


def _migrated(engine: Engine) -> SchemaState:
    from alembic import command
    from alembic.config import Config

    transactional = engine.execution_options(isolation_level="READ COMMITTED")
    with transactional.connect() as connection, connection.begin():
        fetch(driver(connection), ONE_MIGRATION)
        before = _state(driver(connection))
        if before.found is not None and before.found > REVISION:
            agree(before.found, place(engine.url))
        config = Config()
        config.set_main_option("script_location", str(_scripts()).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        functions.install(driver(connection))
    return before


def _state(connection: Session) -> SchemaState:
    return SchemaState(_found(connection), REVISION, functions.installed(connection))


def _found(connection: Session) -> str | None:
    if not fetch(connection, HAS_REVISION)[0]["known"]:
        return None
    found = fetch(connection, FOUND)
    return str(found[0]["version_num"]) if found else None


def _scripts() -> Path:
    """Where the migrations lie: in the package where it is installed, beside it in the source tree."""
    package = Path(__file__).parents[1]
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "migrations"
