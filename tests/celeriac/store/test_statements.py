"""The files of statements, and the verbs that ask for them: no statement is there that nobody runs."""

import re
from pathlib import Path

from celeriac.store import postgres
from celeriac.store.connection import sql
from celeriac.store.postgres.statements import statement, statements

SOURCES = [path.read_text() for path in Path(postgres.__file__).parent.glob("*.py")]
#: What a statement of several tables leaves open.
OPEN = {
    "drop_portion": {"table": "report"},
    "prune": {"table": "report"},
    "drop_rows": {"table": "study", "column": "id"},
    "trials_page": {"down": "DESC"},
    "trials_by_score": {"sign": "-"},
}


def test_each_statement_is_filled_in_and_asked_for() -> None:
    asked = set(re.findall(r'"(\w+)"', "".join(SOURCES)))
    for name in statements():
        assert name in asked, f"nobody runs the statement {name}"
        assert not re.search(r"\{\w+\}", statement(name, **OPEN.get(name, {}))), name


def test_each_phrase_is_used() -> None:
    texts = [each.body + (each.takes or "") + (each.returns or "") for each in statements().values()]
    texts += [each.body for each in statements("phrase").values()]
    used = set(re.findall(r"\{(\w+)\}", "".join(texts)))
    assert set(statements("phrase")) <= used


def test_a_value_is_a_parameter_and_a_percent_sign_is_itself() -> None:
    assert sql("SELECT 1 WHERE name LIKE :name OR name LIKE 'a%'") == (
        "SELECT 1 WHERE name LIKE %(name)s OR name LIKE 'a%%'"
    )
    assert "t.study_id = %(study)s" in statement("trial")
    assert statement("lease").startswith("SELECT * FROM worker.lease(p_study => CAST(%(study)s AS bigint), ")
