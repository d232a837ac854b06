"""Whether a closed study may go on as it is; which budgets it may have is tested with the client."""

from dataclasses import replace
from datetime import timedelta

import pytest

from celeriac.decide.device_budget import DeviceBudget
from celeriac.decide.extend import extended, why_not_reopen
from celeriac.domain.errors import SpecInvalid
from celeriac.domain.records import Counts, StudyState
from tests.celeriac.decide.records import NOW, study

FORM = {
    "study": "digits",
    "objective": "none:none",
    "metric": {"name": "loss", "goal": "minimize"},
    "space": {"x": {"float": [0, 1]}},
}


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


def test_a_study_without_device_time_is_not_reopened() -> None:
    stopped = study(StudyState.DONE, Counts(scored=1), spec={"budget": {"trials": 3, "device_hours": 1}}, ended_at=NOW)
    own = DeviceBudget("device budget", 1, 3601.0, 0)
    assert why_not_reopen(stopped, [DeviceBudget("device budget", 1, 3599.0, 0)]) == ""
    assert "`celeriac extend digits --device-hours +1`" in why_not_reopen(stopped, [own])
    night = DeviceBudget("device budget of schedule n for this night", 2, 7200.0, 1)
    of_night = replace(stopped, spec={"budget": {"trials": 3}}, schedule="n")
    assert "then `celeriac schedule fire n`" in why_not_reopen(of_night, [night])


@pytest.mark.parametrize(("said", "hours"), [("3", 3.0), ("+1.5", 2.5), (0.5, 0.5)])
def test_device_hours_are_extended_to_a_total_or_by_more(said: str | float, hours: float) -> None:
    form = {**FORM, "budget": {"trials": 3, "device_hours": 1}}
    assert extended(study(StudyState.RUNNING, spec=form), None, None, said).device_hours == hours
    with pytest.raises(SpecInvalid, match=r"budget\.device_hours"):
        extended(study(StudyState.RUNNING, spec=form), None, None, "many")
