"""Whether a closed study may go on as it is; which budgets it may have is tested with the client."""

from datetime import timedelta

from celeriac.decide.extend import why_not_reopen
from celeriac.domain.records import Counts, StudyState
from tests.celeriac.decide.records import NOW, study


def test_a_study_is_reopened_while_something_of_its_budget_is_left() -> None:
    spec = {"budget": {"trials": 3, "wall": 600.0}}
    left = study(
        StudyState.STOPPED,
        Counts(scored=2, failed=0),
        spec=spec,
        first_leased_at=NOW,
        ended_at=NOW + timedelta(seconds=599),
    )
    assert why_not_reopen(left) == ""
    used = study(StudyState.DONE, spec=spec, first_leased_at=NOW, ended_at=NOW + timedelta(seconds=600))
    assert "`celeriac extend digits --wall" in why_not_reopen(used)
    done = study(StudyState.DONE, Counts(scored=2, failed=1), spec=spec, ended_at=NOW)
    assert "`celeriac extend digits --trials" in why_not_reopen(done)
