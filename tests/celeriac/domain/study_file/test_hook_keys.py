"""`schedule.hook`: what runs after a promotion, and how each mistake is told."""

from typing import Any

import pytest

from celeriac.domain.hooks import Hook
from celeriac.domain.study_file import parse
from tests.celeriac.domain.study_file.files import SMALL, refused

PLAN = {"name": "nightly", "cron": "0 2 * * *"}


def hook_of(given: Any) -> Hook | None:
    spec = parse({key: value for key, value in SMALL.items() if key != "study"} | {"schedule": PLAN | {"hook": given}})
    assert parse(spec.to_dict()) == spec
    assert spec.schedule is not None
    return spec.schedule.hook


@pytest.mark.parametrize(
    ("given", "hook"),
    [
        (None, None),
        ({"command": "./reload.sh --now 'a b'"}, Hook(command=("./reload.sh", "--now", "a b"))),
        ({"command": ["./reload.sh", "a b"], "timeout": 5}, Hook(command=("./reload.sh", "a b"), timeout_s=5)),
        ({"url": "https://x.example/p", "timeout": "2m"}, Hook(url="https://x.example/p", timeout_s=120)),
        (
            {"url": "http://x:8080/p", "secret_env": "HOOK_SECRET"},
            Hook(url="http://x:8080/p", secret_env="HOOK_SECRET"),
        ),
    ],
)
def test_a_hook_is_a_command_or_a_url(given: Any, hook: Hook | None) -> None:
    assert hook_of(given) == hook


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("./reload.sh", "hook: must be a mapping such as"),
        ({}, "hook: needs a command or a url, one of them"),
        ({"command": "a", "url": "http://x/"}, "hook: needs a command or a url, one of them"),
        ({"comand": "a"}, "hook.comand: "),
        ({"command": "a 'b"}, 'hook.command: "a \'b": no closing quotation'),
        ({"command": "  "}, "hook.command: must be a command"),
        ({"command": ["a", 1]}, "hook.command: must be a command"),
        ({"command": 5}, "hook.command: must be a command"),
        ({"url": "ftp://x/"}, "hook.url: 'ftp://x/' is no address"),
        ({"url": "http:///p"}, "hook.url: 'http:///p' is no address"),
        ({"command": "a", "secret_env": "S"}, "hook.secret_env: signs requests to a url"),
        ({"url": "http://x/", "secret_env": "my secret!"}, "hook.secret_env: 'my secret!' is no name"),
        ({"url": "http://x/", "timeout": "soon"}, "hook.timeout: "),
    ],
)
def test_what_is_no_hook_is_told_by_its_key(given: Any, says: str) -> None:
    problems = refused({"schedule": PLAN | {"hook": given}})
    assert any(f"schedule.{says}" in problem for problem in problems), problems
