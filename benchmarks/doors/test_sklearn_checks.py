"""scikit-learn's own checks of an estimator, on `CeleriacSearchCV`; candidates are scored in this process."""

from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import check_estimator

from celeriac.doors.sklearn import CeleriacSearchCV
from tests.celeriac.doors.test_sklearn import asked as asked


@pytest.mark.filterwarnings("ignore")
def test_it_passes_scikit_learns_own_checks(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    space = {"C": {"float": [0.1, 10.0], "log": True}}
    search = CeleriacSearchCV(
        LogisticRegression(max_iter=200), space, n_iter=1, cv=2, random_state=0, home=str(tmp_path)
    )
    found = check_estimator(search, on_fail=None, on_skip=None)
    failed = [(each["check_name"], repr(each["exception"])) for each in found if each["status"] == "failed"]
    assert failed == []
    assert sum(each["status"] == "passed" for each in found) > 50
