"""An audit that looked nothing up is none."""

from benchmarks.audit import judged

CLEAN = {"name": "yarl", "version": "1.25.1", "vulns": []}
UNSEEN = {"name": "vine", "skip_reason": "Dependency not found on PyPI and could not be audited: vine (5.1.0)"}
FLAWED = {"name": "old", "version": "1.0", "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["1.1"]}]}


def test_all_looked_up_and_well() -> None:
    assert judged({"dependencies": [CLEAN]}) == []


def test_what_is_vulnerable_is_named_with_what_mends_it() -> None:
    assert judged({"dependencies": [CLEAN, FLAWED]}) == ["old 1.0: PYSEC-2026-1, fixed in 1.1"]


def test_what_was_not_looked_up_is_a_failure() -> None:
    [said] = judged({"dependencies": [CLEAN, UNSEEN]})
    assert said.startswith("NOT AUDITED: 1 of 2 packages could not be looked up: Dependency not found on PyPI")
    [nothing] = judged({"dependencies": []})
    assert nothing.startswith("NOT AUDITED: 0 of 0")
