"""`schedule.morning`: where each night's morning is sent, and how each mistake is told."""

from typing import Any

import pytest

from celeriac.domain.recipient import Recipient
from celeriac.domain.study_file import parse
from tests.celeriac.domain.study_file.files import SMALL, refused

PLAN = {"name": "nightly", "cron": "0 2 * * *"}


@pytest.mark.parametrize(
    ("given", "recipient"),
    [
        (None, None),
        ({"url_env": "SLACK_URL"}, Recipient(url_env="SLACK_URL")),
        ({"url": "https://x/", "format": "json", "secret_env": "S"}, Recipient("https://x/", "", (), "json", "S")),
        ({"mail": "a@b.c"}, Recipient(mail=("a@b.c",))),
        ({"mail": ["a@b.c", "d@e.f"]}, Recipient(mail=("a@b.c", "d@e.f"))),
    ],
)
def test_a_morning_goes_to_an_address_or_as_mail(given: Any, recipient: Recipient | None) -> None:
    top = {key: value for key, value in SMALL.items() if key != "study"}
    spec = parse(top | {"schedule": PLAN | {"morning": given}})
    assert parse(spec.to_dict()) == spec
    assert spec.schedule is not None
    assert spec.schedule.morning == recipient


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("https://x/", "morning: must be a mapping such as"),
        ({}, "morning: needs a url, a url_env or mail, one of them"),
        ({"url": "https://x/", "mail": "a@b.c"}, "morning: needs a url, a url_env or mail, one of them"),
        ({"url": "ftp://x/"}, "morning.url: 'ftp://x/' is no address"),
        ({"url_env": "my url"}, "morning.url_env: 'my url' is no name"),
        ({"mail": "nobody"}, "morning.mail: 'nobody' is no mail address"),
        ({"mail": []}, "morning.mail: must be a mail address"),
        ({"mail": "a@b.c", "format": "json"}, "morning.format: is of requests"),
        ({"url": "https://x/", "format": "xml"}, "morning.format: "),
    ],
)
def test_what_cannot_be_sent_is_told_by_its_key(given: Any, says: str) -> None:
    problems = refused({"schedule": PLAN | {"morning": given}})
    assert any(f"schedule.{says}" in problem for problem in problems), problems
