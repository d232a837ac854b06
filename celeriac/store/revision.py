"""The schema's revision: which one this program needs, and whether a database has it.

Revisions are numbered (0001, 0002, …), so that older and newer can be told apart without loading Alembic.
"""

from celeriac.domain.errors import SchemaMismatch
from celeriac.store.connection import sql

#: The newest migration that this program knows; a test compares it with the files.
REVISION = "0025"
FOUND = sql("SELECT version_num FROM alembic_version")


def agree(found: str | None, where: str) -> None:
    """Raise SchemaMismatch unless the revision found is this program's; says which is newer and what to run."""
    if found == REVISION:
        return
    if found is None or found < REVISION:
        raise SchemaMismatch(
            f"{where} has schema {found or 'none'}, this program needs {REVISION}: run `celeriac migrate`"
        )
    raise SchemaMismatch(
        f"{where} has schema {found}, newer than this program's {REVISION}: "
        "upgrade this program (`pip install --upgrade celeriac`)"
    )
