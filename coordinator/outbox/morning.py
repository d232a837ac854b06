"""Sends a night's morning where its schedule says. Rule: every try has one idempotency key, and a mail one id."""

import json
import smtplib
import ssl
from contextlib import ExitStack
from dataclasses import replace
from email.message import EmailMessage
from hashlib import sha256
from urllib.parse import unquote, urlsplit

from celeriac.domain.errors import UnknownSchedule
from celeriac.domain.hooks import Hook
from celeriac.domain.recipient import Recipient
from celeriac.domain.records import Delivery
from celeriac.domain.study_file import parse
from celeriac.report.morning import Morning, read_morning
from celeriac.report.morning.messages import mail, slack
from celeriac.report.plain import plain
from celeriac.store import Store
from coordinator.outbox.hook import post
from coordinator.outbox.local_addresses import refuse_local
from coordinator.outbox.outside import NotDelivered, Outside

_MAIL_S = 60.0
#: A night whose other slices are still to come is looked at again so much later.
_LATER_S = 120.0


def send_morning(store: Store, outside: Outside, delivery: Delivery) -> str:
    """Send a night's morning; one line on what came of it. Raises NotDelivered."""
    try:
        plan = parse(store.schedule(delivery.schedule).spec, f"schedule {delivery.schedule}").schedule
        to = None if plan is None else plan.morning
        morning = read_morning(store, delivery.schedule, delivery.night)
    except UnknownSchedule:
        return "its schedule is gone"
    if to is None or morning is None:
        return "its schedule has no morning any more"
    if morning.goes_on:
        raise NotDelivered("not all of its slices are over", _LATER_S)
    # That a morning was not sent is no news for those whom it reaches.
    morning = replace(morning, attention=tuple(each for each in morning.attention if each.kind != delivery.kind))
    return (_mailed if to.mail else _posted)(outside, to, morning)


def _posted(outside: Outside, to: Recipient, morning: Morning) -> str:
    url, secret = to.url or outside.secret(to.url_env), outside.secret(to.secret_env)
    # An address in the coordinator's own environment is its keeper's; one in a schedule is of whoever wrote that.
    may_be_local = outside.call_local or not to.url
    if not may_be_local:
        refuse_local(url, url)
    body = json.dumps(slack(morning) if to.format == "slack" else plain(morning), ensure_ascii=False).encode()
    try:
        key = f"morning {morning.schedule} {morning.night}"
        said = post(Hook(url=url), body, key, secret, may_be_local=may_be_local)
    except NotDelivered as error:
        raise NotDelivered(str(error).replace(url, to.url or f"${to.url_env}")) from None
    return said.replace(url, to.url or f"${to.url_env}")


def _mailed(outside: Outside, to: Recipient, morning: Morning) -> str:
    if not outside.smtp_url or not outside.mail_from:
        raise NotDelivered("mail needs CELERIAC_SMTP_URL and CELERIAC_MAIL_FROM where the coordinator's clock runs")
    digest = sha256(f"{morning.schedule}\n{morning.night}".encode()).hexdigest()[:24]
    _hand_over(outside.smtp_url, mail(morning, outside.mail_from, to.mail, f"<{digest}@celeriac>"))
    return f"mailed to {', '.join(to.mail)}"


def _hand_over(smtp_url: str, message: EmailMessage) -> None:
    """Give a mail to the server; smtp:// uses TLS where the server offers it, smtps:// from the first byte. Raises
    NotDelivered where the server's certificate is not trusted, or a login would go in the clear.
    """
    host = urlsplit(smtp_url).hostname or ""
    try:
        _send(smtp_url, host, message)
    except ssl.SSLCertVerificationError as error:
        said = f"the certificate of the mail server {host} is not trusted ({error.verify_message})"
        raise NotDelivered(f"{said}: name its authority's file in SSL_CERT_FILE") from None


def _send(smtp_url: str, host: str, message: EmailMessage) -> None:
    at = urlsplit(smtp_url)
    with ExitStack() as held:
        context = ssl.create_default_context()
        if at.scheme == "smtps":
            secure = smtplib.SMTP_SSL(host, at.port or 0, timeout=_MAIL_S, context=context)
            server: smtplib.SMTP = held.enter_context(secure)
        else:
            server = held.enter_context(smtplib.SMTP(host, at.port or 0, timeout=_MAIL_S))
            server.ehlo()
            if server.has_extn("starttls"):
                server.starttls(context=context)
            elif at.username:  # whoever stands in between could have taken the offer away
                said = f"the mail server {host} offers no TLS, so it is not told the login"
                raise NotDelivered(f"{said}: write smtps://, or leave the login out")
        if at.username:
            server.login(unquote(at.username), unquote(at.password or ""))
        server.send_message(message)
