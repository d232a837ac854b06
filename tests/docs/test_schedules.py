"""The schedules of the how-to page are sound, and say of themselves what the page says of them."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from celeriac.decide.calendar import coming, dues_of
from celeriac.domain.errors import SpecInvalid
from celeriac.domain.records import Schedule
from celeriac.domain.study_file import load, parse

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "schedules.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
STUDY = """\
objective: train:objective
metric: {name: loss, goal: minimize}
space: {depth: {int: [2, 12]}}
default: {depth: 8}
budget: {trials: 12}
"""
FRIDAY = datetime(2026, 12, 18, 12, 0, tzinfo=UTC)


def scheduled(tmp_path: Path, block: str) -> Schedule:
    file = tmp_path / "nightly.yaml"
    file.write_text(STUDY + block)
    spec = load(file)
    plan = spec.schedule
    assert plan is not None
    slices = tuple(plan.combinations())
    return Schedule(plan.name, spec.to_dict(), plan.cron, plan.timezone, slices, "", "", False, FRIDAY, FRIDAY)


def test_the_page_has_five_schedules() -> None:
    assert len(BLOCKS) == 5


@pytest.mark.parametrize("block", BLOCKS)
def test_each_is_sound_and_comes_due(tmp_path: Path, block: str) -> None:
    row = scheduled(tmp_path, block)
    groups = coming(row, dues_of(row, FRIDAY), 7)
    assert len(groups) == 7
    assert all(each.due_at > FRIDAY for group in groups for each in group)


def test_slices_that_differ_begin_at_their_own_two_oclock(tmp_path: Path) -> None:
    row = scheduled(tmp_path, BLOCKS[1])
    due = {each.slice["airport"]: each.next_due_at for each in dues_of(row, FRIDAY)}
    assert due["LHR"] == datetime(2026, 12, 19, 2, 0, tzinfo=UTC)
    assert due["JFK"] == datetime(2026, 12, 19, 7, 0, tzinfo=UTC)
    assert due["SYD"] == datetime(2026, 12, 20, 16, 30, tzinfo=UTC), "its Saturday and Sunday are free"


def test_holidays_and_sunday_mornings_are_left_out_with_their_reason(tmp_path: Path) -> None:
    row = scheduled(tmp_path, BLOCKS[2])
    groups = coming(row, dues_of(row, FRIDAY), 9)
    left_out = {f"{group[0].due_at:%a %d}": group[0].why_not for group in groups if group[0].why_not}
    assert left_out == {
        "Sun 20": "blackout sun 00:00 to 12:00 (backup)",
        "Thu 24": "blackout 2026-12-24 to 2026-12-26 (holidays)",
        "Fri 25": "blackout 2026-12-24 to 2026-12-26 (holidays)",
        "Sat 26": "blackout 2026-12-24 to 2026-12-26 (holidays)",
        "Sun 27": "blackout sun 00:00 to 12:00 (backup)",
    }
    begins = [each.begins_at - each.due_at for each in groups[0]]
    assert all(timedelta(0) <= each < timedelta(minutes=20) for each in begins)
    assert len(set(begins)) == 3


def test_the_error_of_the_page_is_the_programs() -> None:
    shown = re.search(r"`(schedule\.slices\.2\.space\.dept: [^`]*)`", PAGE)
    assert shown
    document: dict[str, Any] = YAML(typ="safe").load(STUDY + BLOCKS[1].replace("space: {depth", "space: {dept"))
    with pytest.raises(SpecInvalid) as caught:
        parse(document, is_new=True)
    assert " ".join(shown[1].split()) in str(caught.value)
