"""Where a worker looks for a study's code: below its own code root, wherever the submitter had his."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from celeriac.client.objective import stored_root
from celeriac.domain.records import Lease, Resources, RunPlan
from celeriac.runtime.fingerprint import fingerprint
from worker.attempt.job import CodeDiffers, code_roots, context_of, located

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def lease_of(stored: str, code: str = ".") -> Lease:
    return Lease(
        token="t",
        study_id=1,
        study="s",
        number=0,
        attempt=1,
        params={},
        plan=RunPlan("train:objective", code, "maximize", 0, None, 3, Resources(), {}, None),
        code_root=stored,
        slice={},
        due_at=None,
        faults={},
        checkpoints=(),
        lease_until=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.fixture
def hosts(tmp_path: Path) -> tuple[Path, Path]:
    """The code roots of a submitter and of a worker: the same code at two places."""
    roots = (tmp_path / "home" / "me" / "training", tmp_path / "code")
    for root in roots:
        (root / "churn").mkdir(parents=True)
    return roots


def test_each_host_has_its_code_root_at_a_place_of_its_own(hosts: tuple[Path, Path]) -> None:
    mine, theirs = hosts
    assert list(code_roots(lease_of(stored_root(mine / "churn", mine)), theirs)) == [theirs / "churn", theirs]
    assert list(code_roots(lease_of(stored_root(mine, mine)), theirs)) == [theirs]


def test_on_one_machine_the_path_is_the_path(hosts: tuple[Path, Path]) -> None:
    mine, _ = hosts
    assert list(code_roots(lease_of(stored_root(mine / "churn", Path("/"))), Path("/"))) == [mine / "churn"]


def test_what_lies_elsewhere_is_never_the_root(hosts: tuple[Path, Path]) -> None:
    mine, theirs = hosts
    assert next(code_roots(lease_of(str(mine / "churn"), code="churn"), theirs)) == theirs / "churn"
    assert list(code_roots(lease_of("../home/me/training", code="../home"), theirs)) == [theirs]


def test_only_the_study_s_own_code_will_do(hosts: tuple[Path, Path]) -> None:
    mine, theirs = hosts
    (mine / "churn" / "train.py").write_text("x = 1\n")
    lease = replace(lease_of("churn"), fingerprint=fingerprint(mine / "churn"))
    with pytest.raises(CodeDiffers, match=rf"the code below {theirs}/churn is \w+ and the code below {theirs} is"):
        located(lease, theirs, fingerprint)
    (theirs / "train.py").write_text("x = 1\n")  # mounted one directory deeper than at the submitter's
    assert located(lease, theirs, fingerprint) == (theirs, lease.fingerprint)
    for other in (replace(lease, fingerprint=""), replace(lease, fingerprint="0" * 16, due_at=NOW)):
        assert (
            located(other, theirs, fingerprint)[0] == theirs
        )  # what is there when it is due, if it is the objective's at all
    (theirs / "train.py").unlink()
    with pytest.raises(CodeDiffers, match="no module train below"):
        located(replace(lease, due_at=NOW), theirs, fingerprint)


def test_a_directory_that_is_not_there_is_no_code(tmp_path: Path) -> None:
    with pytest.raises(CodeDiffers, match=r"no directory /home/me/gone below the code root /$"):
        located(lease_of("/home/me/gone"), Path("/"), fingerprint)


def test_labels_and_the_slice_reach_the_objective() -> None:
    plan = replace(lease_of(".").plan, labels={"team": "vision", "region": "none"})
    lease = replace(lease_of("."), plan=plan, slice={"region": "eu"})
    assert context_of(lease) == {"team": "vision", "region": "eu"}
    due = replace(lease, due_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert context_of(due)["due_at"] == "2026-01-01T00:00:00+00:00"


def test_the_context_is_typed_and_tells_the_day_where_the_slice_is() -> None:
    plan = replace(lease_of(".").plan, labels={"rows": "many"}, context={"rows": 500}, timezone="America/New_York")
    lease = replace(lease_of("."), plan=plan, due_at=datetime(2026, 1, 1, 3, 0, tzinfo=UTC))
    assert context_of(lease) == {"rows": 500, "due_at": "2026-01-01T03:00:00+00:00", "local_date": "2025-12-31"}
    kept = replace(lease, slice={"local_date": "a slice of before was called so"})
    assert context_of(kept)["local_date"] == "a slice of before was called so"
