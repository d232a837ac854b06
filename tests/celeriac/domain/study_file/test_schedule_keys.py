"""The keys of a schedule: cron, time zone and slices, and how each mistake in them is told."""

import math
from pathlib import Path
from typing import Any

import pytest

from celeriac.domain.errors import SpecInvalid
from celeriac.domain.study_file import ScheduleSpec, load, parse
from tests.celeriac.domain.study_file.files import SCHEDULE, SMALL, refused, write


def test_a_schedule_file_names_its_study(tmp_path: Path) -> None:
    spec = load(write(tmp_path, SCHEDULE))
    assert spec.study == "flights"
    assert spec.schedule == ScheduleSpec(
        "flights", "0 2 * * *", "America/New_York", {"region": ("eu", "us"), "day": (1, 2, 3)}
    )
    assert spec.schedule.combinations() == [
        {"region": region, "day": day} for region in ("eu", "us") for day in (1, 2, 3)
    ]


def test_a_schedule_without_slices_has_the_one_empty_slice() -> None:
    spec = parse(SMALL | {"schedule": {"cron": "*/5 * * * *"}})
    assert spec.schedule == ScheduleSpec("s", "*/5 * * * *", "UTC", {})
    assert spec.schedule.combinations() == [{}]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cron": None}, "schedule.cron: is missing"),
        ({"cron": "0 2 * *"}, "schedule.cron: needs five fields"),
        ({"cron": "0 0 2 * * *"}, "schedule.cron: needs five fields"),
        ({"cron": "61 2 * * *"}, "schedule.cron: '61 2 * * *': bad minute"),
        ({"cron": "0 0 30 2 *"}, "schedule.cron: '0 0 30 2 *': bad day-of-month"),
        ({"timezone": "Europe/Berlni"}, "schedule.timezone: there is no time zone 'Europe/Berlni'; did you mean"),
        ({"timezone": "/etc/passwd"}, "schedule.timezone: there is no time zone"),
        ({"timezone": "Europe"}, "schedule.timezone: there is no time zone"),
        ({"timezone": 2}, "schedule.timezone: must be text"),
        ({"name": "a b"}, "schedule.name: must be a letter or digit"),
        ({"name": ""}, "schedule.name: must be a letter or digit"),
        ({"slices": ["eu"]}, "schedule.slices: must be a mapping of names to lists"),
        ({"slices": {}}, "schedule.slices: must be a mapping of names to lists"),
        ({"slices": {"region": []}}, "schedule.slices.region: needs a list of at least one value"),
        ({"slices": {"region": "eu"}}, "schedule.slices.region: needs a list"),
        ({"slices": {"region": ["eu", "us", "eu"]}}, "schedule.slices.region: 'eu' is there twice"),
        ({"slices": {"region": [None]}}, "schedule.slices.region: None is no text, number or boolean"),
        ({"slices": {"region": [math.nan]}}, "schedule.slices.region: nan is no text"),
        ({"slices": {"region": ["a/b"]}}, "schedule.slices.region: 'a/b': a value's text is letters"),
        ({"slices": {"my region": ["eu"]}}, "schedule.slices.my region: a slice key is letters"),
        ({"slices": {"a": list(range(40)), "b": list(range(40))}}, "schedule.slices: make 1600 studies"),
        ({"slices": {"a": ["x" * 60], "b": ["y" * 60]}}, "schedule.slices: make names of up to"),
        # Each of these few would take all memory, or hours: the service reads what a token sends.
        ({"slices": {f"s{i}": list(range(99)) for i in range(8)}}, "schedule.slices: make 9227446944279201 studies"),
        ({"slices": {"a": list(range(200_000))}}, "schedule.slices.a: has 200000 values, 1000 at most"),
        ({"slices": [{f"k{i}": 1 for i in range(50_000)}]}, "schedule.slices.0: is named by 50000 keys, 100 at most"),
        ({"warm_start": "no"}, "schedule.warm_start: must be true or false, not 'no'"),
        ({"catch_up": 1}, "schedule.catch_up: cannot be 1; known: all, one, skip"),
        ({"overlap": "que"}, "schedule.overlap: cannot be 'que'; did you mean 'queue'?"),
        ({"catch_up": "all", "overlap": "skip"}, "schedule.overlap: skip beside `catch_up: all` would end"),
        ({"jitter": "soon"}, "schedule.jitter: must be a time such as 30s"),
        ({"deadline": "6:00"}, 'schedule.deadline: must be a time of the day such as "06:00"'),
        ({"deadline": True}, "schedule.deadline: must be a time such as 30s"),
        ({"blackout": "sat"}, "schedule.blackout: must be a list of windows"),
        ({"blackout": [{}]}, "schedule.blackout.0: must be a window"),
        ({"blackout": [{"why": "x"}]}, "schedule.blackout.0: has no time"),
        ({"blackout": [{"from": "2026-12-24"}]}, "schedule.blackout.0: never ends: write `to`"),
        ({"blackout": [{"to": "2026-12-24"}]}, "schedule.blackout.0: never begins: write `from`"),
        ({"blackout": [{"from": "08:00", "to": "2026-12-24"}]}, "schedule.blackout.0: goes from 08:00 to 2026-12-24"),
        (
            {"blackout": [{"from": "08:00", "to": "08:00"}]},
            "schedule.blackout.0: goes from 08:00 to 08:00, which is no",
        ),
        ({"blackout": [{"from": "2026-12-26", "to": "2026-12-24"}]}, "schedule.blackout.0: ends (2026-12-24) before"),
        ({"blackout": [{"from": "xmas", "to": "2026-12-24"}]}, "schedule.blackout.0: goes from xmas to 2026-12-24: wr"),
        ({"blackout": [{"days": ["sat"], "till": "x"}]}, "schedule.blackout.0.till: is not known here"),
        ({"blackout": [{"days": ["sta"]}]}, "schedule.blackout.0.days: cannot be 'sta'; did you mean 'sat'?"),
        ({"slices": [{"r": "eu"}, "us"]}, "schedule.slices.1: must be a mapping like the first slice"),
        ({"slices": [{"r": "eu"}, {"budget": {"trials": 2}}]}, "schedule.slices.1: has no r, which names the first"),
        ({"slices": [{"r": "eu"}, {"r": "us", "bugdet": 3}]}, "schedule.slices.1.bugdet: names this slice and not the"),
        ({"slices": [{"r": "eu", "bugdet": {"trials": 3}}]}, "schedule.slices.0.bugdet: {'trials': 3} is no text, nu"),
        ({"slices": [{"cron": "0 3 * * *"}]}, "schedule.slices.0: needs a key that names the slice"),
        ({"slices": [{"r": "x" * 60, "s": "y" * 60}]}, "schedule.slices.0: makes a name of more than 100"),
        ({"crno": "x"}, "schedule.crno: is not known here; did you mean 'cron'?"),
    ],
)
def test_a_mistake_in_a_schedule(changes: dict[str, Any], says: str) -> None:
    (problem,) = refused({"schedule": {"name": "nightly", "cron": "0 2 * * *"} | changes})
    assert problem.startswith(f"file.yaml: {says}")


def test_a_schedule_must_be_a_mapping() -> None:
    (problem,) = refused({"schedule": "0 2 * * *"})
    assert problem.startswith(
        "file.yaml: schedule: must be a mapping with always, blackout, budget, catch_up, cron, deadline, "
    )
    assert problem.endswith(", slices, timezone, warm_start, not '0 2 * * *'")


def test_a_new_schedule_loses_nothing_without_a_word() -> None:
    plan = {"name": "nightly", "cron": "0 2 * * *", "slices": {"due_at": ["x", "y"], "region": ["eu"]}}
    form = SMALL | {"schedule": plan, "labels": {"region": "here", "due_at": "now", "team": "a"}}
    with pytest.raises(SpecInvalid) as caught:
        parse(form, is_new=True)
    assert [problem.partition(": ")[2].partition(":")[0] for problem in caught.value.problems] == [
        "study",
        "schedule.slices.due_at",
        "labels.region",
        "labels.due_at",
    ]
    assert "leave one of them out" in str(caught.value)
    assert parse(form).schedule is not None  # what a store kept since before goes on
    lent = {key: value for key, value in SMALL.items() if key != "study"}
    for name in ({}, {"study": "nightly"}):
        spec = parse(lent | name | {"schedule": {"name": "nightly", "cron": "0 2 * * *"}}, is_new=True)
        assert spec.study == "nightly"


def test_a_gate_with_all_its_keys_reads_back_as_it_was_written() -> None:
    written = {
        "gate": {"min_gain": 0.01, "pairs": 9, "fdr": 0.1, "require_approval": True},
        "guard": {"latency_ms": {"max": 20.0}, "recall": {"at_least": "champion - 0.01"}},
        "always": True,
    }
    spec = parse(SMALL | {"schedule": {"cron": "0 2 * * *", **written}})
    assert spec.schedule is not None
    gate = spec.schedule.gate
    assert (gate.min_gain, gate.pairs, gate.fdr, gate.require_approval) == (0.01, 9, 0.1, True)
    assert [guard.metric for guard in gate.guards] == ["latency_ms", "recall"]
    assert spec.schedule.always
    assert parse(spec.to_dict()) == spec
    assert {key: spec.to_dict()["schedule"][key] for key in written} == written


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"gate": {"fdr": 0.9}}, "schedule.gate.fdr: must be above 0 and at most 0.5, not 0.9"),
        ({"gate": {"fdr": 0}}, "schedule.gate.fdr: must be above 0"),
        ({"gate": {"min_gain": -1}}, "schedule.gate.min_gain: must be 0 or more"),
        ({"gate": {"pairs": 1}}, "schedule.gate.pairs: must be from 2 to 200"),
        ({"gate": {"require_approval": "yes"}}, "schedule.gate.require_approval: must be true or false, not 'yes'"),
        ({"gate": {"min_gian": 1}}, "schedule.gate.min_gian: is not known here; did you mean 'min_gain'?"),
        ({"guard": {"latency": {"most": 3}}}, "schedule.guard: latency: a guard is"),
        ({"guard": {"latency": {"max": "twice"}}}, "schedule.guard: latency: a bound is"),
        ({"guard": []}, "schedule.guard: must be a mapping of metrics"),
        ({"always": 1}, "schedule.always: must be true or false, not 1"),
    ],
)
def test_what_is_wrong_with_a_gate_is_told(changes: dict[str, Any], says: str) -> None:
    assert any(says in line for line in refused({"schedule": {"cron": "0 2 * * *", **changes}}))
