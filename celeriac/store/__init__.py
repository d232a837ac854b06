"""The store: the only room that speaks SQL. Its doors are `open_store` and the contract in `celeriac.store.api`.

Importing this room loads no SQLAlchemy and no psycopg: only opening a store does.
"""

import secrets

from celeriac.domain.errors import SettingInvalid
from celeriac.store.api import Store
from celeriac.store.api_web import WebStore

__all__ = ["Store", "WebStore", "is_refusal", "open_store", "open_web_store"]


def open_store(database_url: str, *, pool_size: int = 2, key: str = "") -> Store:
    """The store on Postgres at this URL; connects when first used. Open it after any fork, one a process.

    `key` marks the leases that are taken by this store, and gives those back that another of the same key took
    (`own_attempts`); "" makes one that nobody else has. Raises SettingInvalid when the URL is none of Postgres, or the
    pool too small (`driving` holds one connection while the verbs of a turn use another).
    """
    return open_web_store(database_url, pool_size=pool_size, key=key)


def open_web_store(database_url: str, *, pool_size: int = 2, key: str = "") -> WebStore:
    """As `open_store`, with the verbs that the web stands on too."""
    if pool_size < 2:
        raise SettingInvalid(f"CELERIAC_POOL_SIZE={pool_size}: must be at least 2, one is held while a study is driven")
    from celeriac.store.connection import Database
    from celeriac.store.postgres import PostgresStore

    return PostgresStore(Database(database_url, pool_size=pool_size), key or secrets.token_hex(16))


def is_refusal(error: Exception) -> bool:
    """Whether the database itself refused a statement, by a constraint or a trigger, so that no rule of this program
    knows the case.
    """
    from psycopg import Error

    return isinstance(error, Error)
