"""Sends each night's morning where its schedule says, once the last slice's firing is over; at least once.

Rules: as for promotions: a try is claimed before it begins and its end is written after it; what goes wrong is written
down and tried again later. Every try has the same idempotency key, and a mail the same id.
"""

import json
import logging
import smtplib
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from email.message import EmailMessage
from hashlib import sha256
from urllib.parse import unquote, urlsplit

from celeriac.decide.deliver import wait_s
from celeriac.domain.errors import CeleriacError, UnknownSchedule
from celeriac.domain.hooks import Hook
from celeriac.domain.records import NightReport
from celeriac.domain.study_file import parse
from celeriac.domain.telling import Telling
from celeriac.report.morning import Morning, read_morning
from celeriac.report.morning.messages import mail, slack
from celeriac.report.plain import plain
from celeriac.store import Store
from coordinator.hooks import HookFailed, post

log = logging.getLogger(__name__)

_CLAIM_S, _MAIL_S = 300.0, 60.0
#: A night whose other slices are still to come is looked at again so much later.
_LATER_S = 120.0


@dataclass(frozen=True, slots=True)
class Post:
    """How reports go out. `secret_of` gives the secret in a variable of the environment."""

    secret_of: Callable[[str], str]
    smtp_url: str = ""
    mail_from: str = ""


def tell(store: Store, out: Post) -> int:
    """Send all that is due; how many came through. Raises StoreUnavailable."""
    return sum(_one(store, out, each) for each in store.due_night_reports())


def _one(store: Store, out: Post, report: NightReport) -> bool:
    if not store.claim_night_report(report.schedule, report.night, _CLAIM_S):
        return False
    try:
        said, again_s = _send(store, out, report)
    except (HookFailed, CeleriacError, OSError, smtplib.SMTPException) as error:
        said, again_s = str(error), wait_s(report.tries + 1)
        log.warning("the morning of %s, %s failed, again in %g s: %s", report.schedule, report.night, again_s, said)
    store.end_night_report(report.schedule, report.night, said, again_s)
    return again_s is None


def _send(store: Store, out: Post, report: NightReport) -> tuple[str, float | None]:
    """What came of it, and when to try again; None: it is done."""
    try:
        plan = parse(store.schedule(report.schedule).spec, f"schedule {report.schedule}").schedule
        to = None if plan is None else plan.morning
        morning = read_morning(store, report.schedule, report.night)
    except UnknownSchedule:
        return "its schedule is gone", None
    if to is None or morning is None:
        return "its schedule has no morning any more", None
    if not morning.is_over:
        return "not all of its slices are over", _LATER_S
    return (_mailed if to.mail else _posted)(out, to, morning), None


def _posted(out: Post, to: Telling, morning: Morning) -> str:
    url = to.url or out.secret_of(to.url_env)
    secret = out.secret_of(to.secret_env) if to.secret_env else ""
    for name, value in ((to.url_env, url), (to.secret_env, secret)):
        if name and not value:
            raise HookFailed(f"{name} is not set where the coordinator's clock runs")
    body = json.dumps(slack(morning) if to.format == "slack" else plain(morning), ensure_ascii=False).encode()
    try:
        said = post(Hook(url=url), body, f"morning {morning.schedule} {morning.night}", secret)
    except HookFailed as error:
        raise HookFailed(str(error).replace(url, to.url or f"${to.url_env}")) from None
    return said.replace(url, to.url or f"${to.url_env}")


def _mailed(out: Post, to: Telling, morning: Morning) -> str:
    if not out.smtp_url or not out.mail_from:
        raise HookFailed("mail needs CELERIAC_SMTP_URL and CELERIAC_MAIL_FROM where the coordinator's clock runs")
    digest = sha256(f"{morning.schedule}\n{morning.night}".encode()).hexdigest()[:24]
    _hand_over(out.smtp_url, mail(morning, out.mail_from, to.mail, f"<{digest}@celeriac>"))
    return f"mailed to {', '.join(to.mail)}"


def _hand_over(smtp_url: str, message: EmailMessage) -> None:
    """Give a mail to the server; smtp:// uses TLS where the server offers it, smtps:// from the first byte."""
    at = urlsplit(smtp_url)
    with ExitStack() as held:
        context = ssl.create_default_context()
        if at.scheme == "smtps":
            secure = smtplib.SMTP_SSL(at.hostname or "", at.port or 0, timeout=_MAIL_S, context=context)
            server: smtplib.SMTP = held.enter_context(secure)
        else:
            server = held.enter_context(smtplib.SMTP(at.hostname or "", at.port or 0, timeout=_MAIL_S))
            server.ehlo()
            if server.has_extn("starttls"):
                server.starttls(context=context)
        if at.username:
            server.login(unquote(at.username), unquote(at.password or ""))
        server.send_message(message)
