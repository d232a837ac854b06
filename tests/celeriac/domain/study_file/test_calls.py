"""`api`, `command` and `learn_space`: what a study runs, and what of it is refused."""

from pathlib import Path
from typing import Any

import pytest

from celeriac.domain.study_file import difference, filled, parse
from tests.celeriac.domain.study_file.files import SMALL, refused, told

COMMAND = {key: value for key, value in SMALL.items() if key != "objective"}


def test_a_command_stands_in_the_place_of_an_objective() -> None:
    spec = parse({**COMMAND, "command": "python train.py --lr {lr}"}, is_new=True)
    assert (spec.objective, spec.command) == ("", "python train.py --lr {lr}")
    assert parse(spec.to_dict()) == spec
    assert "objective" not in spec.to_dict()


def test_a_space_that_is_learned_is_none_at_first_and_a_spec_all_the_same() -> None:
    open_space = {key: value for key, value in SMALL.items() if key != "space"} | {"api": "optuna"}
    spec = parse(open_space, is_new=True)
    assert (spec.learn_space, spec.space.names, spec.space.validate({})) == (True, (), {})
    assert parse(spec.to_dict()) == spec
    learned = parse({**spec.to_dict(), "space": SMALL["space"]})
    assert learned.learn_space
    assert learned.space.names == ("lr",)
    assert all(line.startswith("space.") for line in difference(spec, learned))
    given = parse({**SMALL, "api": "optuna"}, is_new=True)
    assert not given.learn_space


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("python train.py --lr {rate}", "names {rate}, which is no parameter of the space; "),
        ("python train.py --lr {lr} > out.txt", "is not run by a shell, so '>' would be a word like any other"),
        ("python 'train.py", "cannot be split into words: no closing quotation"),
        ("{lr} train.py", "begins with a value"),
        ('bash -c "python train.py --lr {lr}"', "puts a value into a shell's program"),
        ('/bin/sh -ec "echo {lr}"', "puts a value into a shell's program"),
    ],
)
def test_a_command_that_cannot_be_run_is_refused(command: str, problem: str) -> None:
    (found,) = refused({"objective": None, "command": command})
    assert problem in found


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"command": "true"}, "objective: cannot stand beside `command`"),
        ({"api": "hyperopt"}, "api: cannot be 'hyperopt'; "),
        ({"learn_space": True}, "learn_space: needs an objective that asks for its parameters"),
        ({"api": "optuna", "space": None, "default": {"lr": 0.1}}, "default: needs a `space`"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], problem: str) -> None:
    assert any(problem in found for found in refused(SMALL | changes))


def test_a_wrong_command_is_told_with_its_line(tmp_path: Path) -> None:
    text = """\
study: s
command: python train.py | tee log
metric: {goal: minimize}
space: {x: {int: [1, 9]}}
budget: {trials: 1}
"""
    (problem,) = told(tmp_path, text)
    assert problem.endswith("(line 2)")


def test_values_are_single_words_whatever_they_hold() -> None:
    values = {"name": "a b; rm -rf / $(x) 'q'", "flag": True, "none": None, "lr": 1e-05}
    made = filled("run --name {name} --x=pre{name}post '--two words' {flag} {none} {lr} {{lr}}", values)
    name = values["name"]
    assert made == ["run", "--name", name, f"--x=pre{name}post", "--two words", "true", "", "1e-05", "{lr}"]


def test_a_parameter_that_is_not_active_leaves_its_words_out() -> None:
    command = "run --momentum {momentum} --m={momentum} file {momentum} --last"
    assert filled(command, {}) == ["run", "file", "--last"]
    assert filled(command, {"momentum": 0.5}) == ["run", "--momentum", "0.5", "--m=0.5", "file", "0.5", "--last"]
