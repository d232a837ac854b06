"""The database brought to this program's schema, and its roles to their passwords."""

from pathlib import Path

from celeriac.errors import StoreUnavailable
from celeriac.settings import Settings


def upgrade(home: Path | None) -> list[str]:
    """Migrate the database that the settings name; what was done, a line each.

    Raises StoreUnavailable when none is named or it does not answer, SchemaMismatch when it is newer than this program.
    """
    settings = Settings.from_env(home=home)
    if not settings.database_url:
        raise StoreUnavailable(
            "no database is known: set CELERIAC_DATABASE_URL, or start the embedded stack (`celeriac up`)"
        )
    from celeriac.store.migrate import migrate

    before = migrate(settings.database_url)
    if before.current:
        return [f"schema {before.needed}: nothing to do"]
    return [f"schema {before.found or 'none'} -> {before.needed}"]
