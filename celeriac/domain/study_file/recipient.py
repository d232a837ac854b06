"""The keys of `schedule.morning`: where each night's morning is sent. Rule: what is accepted can be sent."""

import re

from celeriac.domain.recipient import FORMATS, Recipient
from celeriac.domain.space import show
from celeriac.domain.study_file.section import Section

_KEYS = frozenset({"url", "url_env", "mail", "format", "secret_env"})
_ADDRESS = re.compile(r"[^\s@,;<>]+@[^\s@,;<>]+")
_EXAMPLE = "{url_env: SLACK_URL} or {mail: team@example.com}"


def recipient(schedule: Section) -> Recipient | None:
    """Where the mornings go; None for nowhere, or where what is wrong was noted."""
    if schedule.mapping("morning", f"a mapping such as {_EXAMPLE}") is None:
        return None
    section = schedule.section("morning", _KEYS)
    if sum(section.get(key) is not None for key in ("url", "url_env", "mail")) != 1:
        schedule.fail("morning", f"needs a url, a url_env or mail, one of them: {_EXAMPLE}")
        return None
    url, url_env, mail = section.address("url"), section.variable("url_env"), _mail(section)
    for key in ("format", "secret_env"):
        if mail and section.get(key) is not None:
            section.fail(key, "is of requests to an address; mail has none")
    form = section.word("format", FORMATS, "slack")
    return Recipient(url, url_env, mail, form, section.variable("secret_env"))


def _mail(section: Section) -> tuple[str, ...]:
    given = section.get("mail")
    if given is None:
        return ()
    found = [given] if isinstance(given, str) else given
    if not isinstance(found, (list, tuple)) or not found:
        section.fail("mail", f"must be a mail address, or a list of them, not {show(given)}")
        return ()
    for each in found:
        if not isinstance(each, str) or not _ADDRESS.fullmatch(each):
            section.fail("mail", f"{show(each)} is no mail address")
    return tuple(str(each) for each in found)
