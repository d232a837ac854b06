"""PgBouncer between the workers and Postgres: what its sessions must be told, and what ours must leave out there."""

import re
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from celeriac.store.connection import SESSION, Database, sql

SHIPPED = Path(__file__).parents[3] / "deploy" / "pgbouncer" / "pgbouncer.ini"
PREPARED = sql("SELECT name FROM pg_prepared_statements")
TOLD = sql("SELECT name FROM pg_settings WHERE source IN ('client', 'session') AND name = 'statement_timeout'")


@pytest.fixture(params=[True, False], ids=["pooled", "direct"])
def asked(request: pytest.FixtureRequest, database: str) -> Iterator[tuple[bool, Database]]:
    url = make_url(database)
    if request.param:
        url = url.update_query_dict({"pgbouncer": "true"})
    opened = Database(url.render_as_string(hide_password=False), pool_size=1)
    yield request.param, opened
    opened.close()


def test_behind_a_pooler_nothing_is_prepared_and_nothing_asked_of_the_session(asked: tuple[bool, Database]) -> None:
    is_pooled, database = asked
    for _ in range(10):  # psycopg prepares what it has run five times
        prepared = database.rows(PREPARED)
    assert (prepared == []) == is_pooled
    assert (database.rows(TOLD) == []) == is_pooled


def test_the_shipped_file_tells_a_session_what_ours_would() -> None:
    shipped = ConfigParser(interpolation=None, inline_comment_prefixes=None)
    shipped.read(SHIPPED)
    told = dict(re.findall(r'SET (\w+) = "?([^;"\']+)"?', shipped["databases"]["celeriac"]))
    assert told == {name: value.replace("\\ ", " ") for name, value in SESSION.items()}
    assert shipped["pgbouncer"]["pool_mode"] == "transaction"
