"""The database brought to this program's schema, and its roles to their passwords."""

from pathlib import Path

from celeriac.domain.errors import SettingInvalid, StoreUnavailable
from celeriac.runtime.settings import Settings


def upgrade(home: Path | None) -> list[str]:
    """Migrate the database that the settings name; what was done, a line each.

    Raises StoreUnavailable when none is named or it does not answer, SchemaMismatch when it is newer than this program,
    SettingInvalid when only one of the two roles has a password.
    """
    settings = Settings.from_env(home=home)
    if not settings.database_url:
        raise StoreUnavailable(
            "no database is known: set CELERIAC_DATABASE_URL, or start the embedded stack (`celeriac up`)"
        )
    from celeriac.store.migrate import migrate

    _both_or_none(settings)
    before = migrate(settings.database_url)
    done = "nothing to do" if before.current else f"it was {before.found or 'empty'}"
    return [f"schema {before.needed}: {done}", *_roles(settings)]


def _both_or_none(settings: Settings) -> None:
    if bool(settings.coordinator_password) != bool(settings.worker_password):
        raise SettingInvalid(
            "CELERIAC_COORDINATOR_PASSWORD and CELERIAC_WORKER_PASSWORD: set both, or neither where all use one login"
        )


def _roles(settings: Settings) -> list[str]:
    """Give the fleet's two roles their passwords and rights, where the settings have passwords for them."""
    if not settings.coordinator_password:
        return []
    from celeriac.store.roles import COORDINATOR, WORKER, grant_roles

    left_open = grant_roles(settings.database_url, settings.coordinator_password, settings.worker_password)
    return [f"roles {COORDINATOR} and {WORKER}: passwords and rights set", *left_open]
