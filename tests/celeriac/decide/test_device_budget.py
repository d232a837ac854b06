"""Budgets of device time: what counts, what they end, and what they leave alone."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from celeriac.decide.device_budget import (
    DeviceBudget,
    budgets_of,
    has_device_budget,
    night_of_budget,
    runs_to_confirm,
    used_up,
    used_up_in_s,
)
from celeriac.decide.turn import Limits, what_next
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import DeviceSpent, Stage, StudyState
from celeriac.domain.study_file import StudySpec, parse
from tests.celeriac.decide.records import snapshot, study


def spec(budget: dict[str, Any], schedule: dict[str, Any] | None = None) -> StudySpec:
    form: dict[str, Any] = {
        "study": "s",
        "objective": "none:none",
        "metric": {"name": "loss", "goal": "minimize"},
        "space": {"x": {"float": [0, 1]}},
        "budget": {"trials": 10, **budget},
    }
    plan = {"name": "n", "cron": "0 2 * * *", "timezone": "Europe/Berlin"}
    return parse(form if schedule is None else {**form, "schedule": plan | schedule})


PLAIN = study(StudyState.RUNNING)
SEARCH = replace(PLAIN, firing_id=1, stage=Stage.SEARCH)
WITH_NIGHT = spec({}, {"budget": {"device_hours": 4}})


@pytest.mark.parametrize(
    ("budget", "plan", "spent", "says"),
    [
        ({"device_hours": 2}, None, DeviceSpent(7199), ""),
        ({"device_hours": 2}, None, DeviceSpent(7200), "device budget of 2 device-hours is used up (2 h)"),
        ({}, {"budget": {"device_hours": 4}}, DeviceSpent(10, 20, 14_399), ""),
        (
            {},
            {"budget": {"device_hours": 4}},
            DeviceSpent(10, 20, 18_000),
            "device budget of schedule n for this night of",
        ),
        (
            {},
            {"budget": {"device_hours_per_slice": 1}},
            DeviceSpent(10, 3600, 3600),
            "firing's device budget of 1 device",
        ),
        ({}, {}, DeviceSpent(1e9, 1e9, 1e9), ""),
    ],
)
def test_what_is_used_up(budget: dict[str, Any], plan: dict[str, Any] | None, spent: DeviceSpent, says: str) -> None:
    mine = PLAIN if plan is None else SEARCH
    found = used_up(budgets_of(mine, spec(budget, plan), spent))
    assert found.startswith(says)
    assert bool(found) == bool(says)


@pytest.mark.parametrize("stage", [Stage.LOOK, Stage.CONFIRM])
def test_a_look_and_a_confirmation_are_ended_by_the_budgets_of_their_night_alone(stage: Stage) -> None:
    given, plan = replace(SEARCH, stage=stage), {"budget": {"device_hours_per_slice": 1}}
    assert not has_device_budget(given, spec({"device_hours": 2}))
    assert runs_to_confirm(given, spec({}, plan)) == 0
    found = budgets_of(given, spec({"device_hours": 2}, plan), DeviceSpent(9000, 3600, 3600, firing_kept_s=600))
    assert used_up(found) == "firing's device budget of 1 device-hours is used up (1 h)"


def test_a_search_leaves_what_its_confirmation_will_take_and_has_half_of_the_budget_at_least() -> None:
    asks = spec({}, {"budget": {"device_hours_per_slice": 1}})
    assert runs_to_confirm(SEARCH, asks) == 8
    assert runs_to_confirm(SEARCH, spec({}, {"gate": {"pairs": 3}})) == 6
    assert runs_to_confirm(PLAIN, spec({})) == 0
    found = budgets_of(SEARCH, asks, DeviceSpent(3000, 3000, 3000, 2, 2, 2, 600, 600))
    assert used_up(found) == (
        "firing's device budget of 1 device-hours is used up (0.833 h, and 0.167 h are kept for confirmations)"
    )
    short = budgets_of(SEARCH, asks, DeviceSpent(1000, 1000, 1000, 2, 2, 2, 9000, 9000))
    assert (used_up(short), used_up_in_s(short)) == ("", 400.0)


def test_a_study_beside_its_schedule_counts_its_own_time_only() -> None:
    assert not has_device_budget(PLAIN, spec({}, {"budget": {"device_hours": 4}}))
    assert has_device_budget(SEARCH, spec({}, {"budget": {"device_hours": 4}}))
    assert has_device_budget(PLAIN, spec({"device_hours": 4}))


def test_a_night_is_a_day_of_the_schedules_zone() -> None:
    since, until = night_of_budget(WITH_NIGHT, datetime(2026, 11, 24, 23, 30, tzinfo=UTC)) or (None, None)
    assert since is not None
    assert until is not None
    assert since.astimezone(UTC) == datetime(2026, 11, 24, 23, tzinfo=UTC)
    assert until.astimezone(UTC) == datetime(2026, 11, 25, 23, tzinfo=UTC)
    assert night_of_budget(spec({}), datetime(2026, 11, 24, tzinfo=UTC)) is None


def test_a_budget_that_is_used_up_ends_the_study_with_its_reason() -> None:
    decision = what_next(snapshot(PLAIN), Limits(10), 2, used_up="no device time is left")
    assert (decision.event, decision.reason) == (StudyEvent.FINISH, "no device time is left")


def test_when_a_budget_will_be_used_up_follows_from_what_runs_and_is_about_to() -> None:
    study_, night = DeviceBudget("study", 1, 3500.0, 2), DeviceBudget("night", 2, 7170.0, 5)
    assert used_up_in_s([study_]) == 50.0
    assert used_up_in_s([study_, night]) == 6.0
    assert used_up_in_s([study_], queued=2) == 25.0
    assert used_up_in_s([replace(study_, holds=0)]) is None
    assert used_up_in_s([replace(study_, holds=0.25)], queued=0.25) == 200.0
    assert used_up_in_s([]) is None
