"""The keys of a schedule that are about when: slices with values of their own, blackouts, jitter, deadline."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from celeriac.domain.errors import SpecInvalid
from celeriac.domain.study_file import Blackout, ScheduleSpec, deadline_at, difference, form_of_slice, offset_s, parse
from tests.celeriac.domain.study_file.files import SMALL

LISTED: dict[str, Any] = {
    "study": "nightly",
    "labels": {"team": "a"},
    "context": {"rows": 20000},
    "default": {"lr": 0.5},
    "schedule": {
        "name": "nightly",
        "cron": "0 2 * * *",
        "timezone": "Europe/Berlin",
        "slices": [
            {"airport": "JFK", "timezone": "America/New_York", "cron": "30 1 * * *"},
            {
                "airport": "LHR",
                "context": {"rows": 500, "runway": 2},
                "space": {"lr": {"float": [0.25, 0.75]}},
                "budget": {"wall": "30m"},
                "labels": {"team": "b"},
                "default": {"lr": 0.3},
                "parallel": 2,
            },
        ],
    },
}


def test_slices_of_a_list_have_values_of_their_own() -> None:
    spec = parse(SMALL | LISTED, is_new=True)
    plan = spec.schedule
    assert plan is not None
    assert parse(spec.to_dict()) == spec
    jfk, lhr = plan.combinations()
    assert (jfk, lhr) == ({"airport": "JFK"}, {"airport": "LHR"})
    assert plan.times_of(jfk) == ("30 1 * * *", "America/New_York")
    assert plan.times_of(lhr) == ("0 2 * * *", "Europe/Berlin")
    first, second = (parse(form_of_slice(spec.to_dict(), each)) for each in (jfk, lhr))
    assert (first.space, first.budget, first.labels, first.context) == (
        spec.space,
        spec.budget,
        {"team": "a"},
        {"rows": 20000},
    )
    assert first.schedule == ScheduleSpec("nightly", "30 1 * * *", "America/New_York")
    assert second.space.to_dict() == {"lr": {"float": [0.25, 0.75]}}
    assert (second.budget.trials, second.budget.wall_s, second.parallel) == (5, 1800.0, 2)
    assert (second.labels, second.context) == ({"team": "b"}, {"rows": 500, "runway": 2})
    assert second.default == {"lr": 0.3}
    assert second.schedule == ScheduleSpec("nightly", "0 2 * * *", "Europe/Berlin")


def test_the_specs_of_a_products_slices_are_the_studys_own() -> None:
    plan = {"cron": "0 2 * * *", "slices": {"r": ["eu", "us"]}}
    form = parse(SMALL | {"schedule": plan}).to_dict()
    assert form_of_slice(form, {"r": "eu"}) == form
    assert form_of_slice(SMALL, {}) == SMALL


@pytest.mark.parametrize(
    ("slices", "says"),
    [
        ([{"r": "eu"}, {"r": "eu"}], "schedule.slices: 1 collides with slice 0: both are r=eu"),
        ({"r": [1, "1"]}, "schedule.slices: 1 collides with slice 0: both are r=1"),
        ([{"r": "eu", "space": {"rl": {"float": [0, 1]}}}], "schedule.slices.0.space.rl: is no parameter of the study"),
        (
            [{"r": "eu", "space": {"lr": {"float": [1, 0]}}}],
            "schedule.slices.0.space.lr.float: the range [1, 0] is inv",
        ),
        ([{"r": "eu", "budget": {"trails": 3}}], "schedule.slices.0.budget.trails: is not known here; did you mean"),
        ([{"r": "eu", "priority": 0}], "schedule.slices.0.priority: must be 0.01 or more, not 0"),
        ([{"r": "eu", "default": {"lr": 7}}], "schedule.slices.0.default.lr"),
        ([{"r": "eu", "timezone": "Europe/Berlni"}], "schedule.slices.0.timezone: there is no time zone"),
        ([{"r": "eu", "cron": "61 2 * * *"}], "schedule.slices.0.cron: '61 2 * * *': bad minute"),
        ([{"due_at": "eu"}], "schedule.slices.due_at: is taken"),
        ({"local_date": ["eu"]}, "schedule.slices.local_date: is taken"),
        ([{"r": "eu", "context": {"r": 1}}], "schedule.slices.0.context.r: is also a slice"),
    ],
)
def test_a_new_schedules_slices_are_sound_each_alone_and_together(slices: Any, says: str) -> None:
    with pytest.raises(SpecInvalid) as caught:
        parse(SMALL | {"study": "n", "schedule": {"name": "n", "cron": "0 2 * * *", "slices": slices}}, is_new=True)
    (problem,) = caught.value.problems
    assert problem.startswith(f"study: {says}")


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"deadline": "02:00"}, "schedule.deadline: 02:00 lies before the start"),
        ({"deadline": "01:00"}, "schedule.deadline: 01:00 lies before the start"),
        ({"deadline": "10m", "jitter": "15m"}, "schedule.deadline: lies before the start: with its jitter"),
        ({"deadline": "02:10", "jitter": "15m"}, "schedule.deadline: lies before the start: with its jitter"),
        ({"jitter": "1d"}, "schedule.jitter: is not shorter than the time between two firings ("),
        ({"blackout": [{"from": "01:00", "to": "03:00"}]}, "schedule.blackout: never ends for this schedule"),
        (
            {"blackout": [{"days": ["mon", "tue", "wed", "thu"]}, {"days": ["fri", "sat", "sun"]}]},
            "schedule.blackout: ",
        ),
        (
            {"deadline": "06:00", "slices": [{"r": "eu"}, {"r": "us", "cron": "0 7 * * *"}]},
            "schedule.deadline: 06:00 lies before the start, or more than 12 hours behind it, for firings of '0 7 ",
        ),
    ],
)
def test_times_that_cannot_work_together(keys: dict[str, Any], says: str) -> None:
    plan = {"name": "n", "cron": "0 2 * * *", "timezone": "Europe/Berlin", **keys}
    with pytest.raises(SpecInvalid) as caught:
        parse(SMALL | {"study": "n", "schedule": plan}, is_new=True)
    (problem,) = caught.value.problems
    assert problem.startswith(f"study: {says}")
    parse(SMALL | {"schedule": plan})  # one that a store kept goes on


def test_all_times_of_a_schedule_are_read_and_written_back() -> None:
    plan = {
        "name": "s",
        "cron": "0 22 * * *",
        "catch_up": "all",
        "blackout": [{"from": "2026-12-24", "to": "2026-12-26", "why": "holidays"}, {"days": ["sun"]}],
        "jitter": "15m",
        "deadline": "06:00",
    }
    spec = parse(SMALL | {"schedule": plan}, is_new=True)
    assert spec.schedule == ScheduleSpec(
        "s",
        "0 22 * * *",
        catch_up="all",
        overlap="queue",
        blackout=(Blackout("2026-12-24", "2026-12-26", (), "holidays"), Blackout(days=("sun",))),
        jitter_s=900.0,
        deadline="06:00",
    )
    assert parse(spec.to_dict()) == spec
    assert difference(parse(SMALL | {"schedule": plan | {"deadline": "4h"}}), spec) == [
        'schedule.deadline: 14400.0 -> "06:00"'
    ]


@pytest.mark.parametrize(
    ("window", "inside", "outside"),
    [
        (Blackout("2026-12-24", "2026-12-26"), ["2026-12-24T00:00", "2026-12-26T23:59"], ["2026-12-27T00:00"]),
        (Blackout("2026-12-24T08:00", "2026-12-24T09:00"), ["2026-12-24T08:59"], ["2026-12-24T09:00"]),
        (Blackout("08:00", "18:00", ("mon",)), ["2026-11-30T08:00"], ["2026-11-30T18:00", "2026-12-01T08:00"]),
        (Blackout("23:00", "01:00", ("mon",)), ["2026-11-30T23:00", "2026-12-01T00:59"], ["2026-11-30T00:30"]),
        (Blackout("20:00", "24:00"), ["2026-11-30T23:59"], ["2026-11-30T00:00"]),
        (Blackout(days=("sat", "sun")), ["2026-11-29T12:00"], ["2026-11-30T00:00"]),
    ],
)
def test_what_a_blackout_covers(window: Blackout, inside: list[str], outside: list[str]) -> None:
    assert all(window.covers(datetime.fromisoformat(at)) for at in inside)
    assert not any(window.covers(datetime.fromisoformat(at)) for at in outside)


def test_a_deadline_is_the_first_such_time_of_the_slices_own_clock() -> None:
    berlin, due_at = ZoneInfo("Europe/Berlin"), datetime(2026, 11, 24, 21, 0, tzinfo=UTC)
    assert deadline_at("06:00", due_at, berlin) == datetime(2026, 11, 25, 5, 0, tzinfo=UTC)
    assert deadline_at("23:00", due_at, berlin) == datetime(2026, 11, 24, 22, 0, tzinfo=UTC)
    assert deadline_at("24:00", due_at, berlin) == datetime(2026, 11, 24, 23, 0, tzinfo=UTC)
    assert deadline_at(3600.0, due_at, berlin) == datetime(2026, 11, 24, 22, 0, tzinfo=UTC)
    assert deadline_at(None, due_at, berlin) is None


def test_jitter_is_a_slices_own_and_always_the_same() -> None:
    offsets = [offset_s("nightly", f"r={k}", 900.0) for k in range(200)]
    assert offsets == [offset_s("nightly", f"r={k}", 900.0) for k in range(200)]
    assert all(0 <= each < 900 for each in offsets)
    assert 350 < sum(offsets) / 200 < 550
    assert offset_s("other", "r=0", 900.0) != offsets[0]
