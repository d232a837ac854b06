"""Hints that help: none that mislead, where the nearest word is not what was meant."""

from typing import Any

import pytest

from tests.celeriac.domain.study_file.files import SMALL, refused


@pytest.mark.parametrize(
    ("changes", "told", "untold"),
    [
        ({"schedule": {"cron": "0 2 * * *", "timezone": "CEST"}}, "write an IANA name", "did you mean"),
        ({"sampler": "hyperband"}, "write `stop_early: {rule: hyperband}`", "random"),
        ({"study": 123}, 'put it in quotes: `"123"`', "did you"),
        ({"study": True}, "put it in quotes", "did you"),
    ],
)
def test_no_hint_misleads(changes: dict[str, Any], told: str, untold: str) -> None:
    (problem,) = refused(SMALL | changes)
    assert told in problem
    assert untold not in problem
