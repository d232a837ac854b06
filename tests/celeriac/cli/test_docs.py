"""docs/reference/cli.md tells the truth: every command is in it, and the JSON keys that it promises are the records'
own.
"""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from celeriac.cli.app import app
from celeriac.domain.records import Attempt, Champion, Device, Firing, Schedule, StudyRecord, TrialRecord
from celeriac.report.morning import Morning, SliceMorning

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "cli.md").read_text()


def promised(name: str) -> set[str]:
    block = re.search(rf"^    {name} +(.*?)(?=^    [a-z]+ {{2,}}|^\n|^##)", PAGE, re.DOTALL | re.MULTILINE)
    assert block, f"docs/reference/cli.md has no keys of {name}"
    return set(re.sub(r"best: .*null", "best", block[1]).split())


@pytest.mark.parametrize(
    ("name", "record", "private", "added"),
    [
        (
            "study",
            StudyRecord,
            {"turn", "next_number", "best_number", "best_score"},
            {"metric", "budget", "finished", "best"},
        ),
        ("trial", TrialRecord, set(), set()),
        ("run", Attempt, {"token"}, set()),
        ("device", Device, set(), set()),
        ("schedule", Schedule, set(), set()),
        ("firing", Firing, set(), set()),
        ("champion", Champion, set(), set()),
        ("morning", Morning, set(), set()),
        ("slice", SliceMorning, set(), set()),
    ],
)
def test_the_keys_are_the_records_own(name: str, record: Any, private: set[str], added: set[str]) -> None:
    assert promised(name) == {each.name for each in fields(record)} - private | added


def test_every_command_is_on_the_page() -> None:
    names = [command.callback.__name__.replace("_", "-") for command in app.registered_commands if command.callback]
    assert len(names) == 43
    assert [name for name in names if not re.search(rf"`{name}\b", PAGE)] == []
    groups = {
        group.typer_instance.info.name: group.typer_instance for group in app.registered_groups if group.typer_instance
    }
    assert set(groups) == {"study", "token", "schedule"}
    told = [f"`{name} {verb.name}" for name, group in groups.items() for verb in group.registered_commands]
    assert len(told) > 12
    assert [each for each in told if each not in PAGE] == []
