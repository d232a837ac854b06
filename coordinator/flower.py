"""The web view of workers and tickets: Flower, with our settings and one guard in front of every path.

Promise: without the login nothing answers but /healthcheck and /metrics, and those two only to this very host, so that
publishing the port publishes neither. It only shows, unless a setting lets it act. The login is never on a command
line.
"""

import asyncio
import hmac
import ipaddress
import logging
import secrets
import signal
from base64 import b64encode
from typing import Any

from flower import urls  # type: ignore[import-untyped]
from flower.app import Flower  # type: ignore[import-untyped]
from flower.events import Events  # type: ignore[import-untyped]
from flower.options import options  # type: ignore[import-untyped]
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.ioloop import IOLoop
from tornado.web import RequestHandler

from celeriac.domain.errors import SettingInvalid
from celeriac.runtime import logs
from celeriac.runtime.broker import BrokerConfig, make_app
from celeriac.runtime.settings import Settings

log = logging.getLogger(__name__)

#: Its pages link to one another below this, so that the board can hand them on.
PREFIX = "/flower"
OPEN_PATHS = frozenset({"/healthcheck", "/metrics"})
# Trials take from seconds to days; Flower's own buckets end at ten seconds.
RUNTIME_BUCKETS_S = [0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 6 * 3600.0, 24 * 3600.0]
MOST_TASKS = 10_000
# How often workers are told to send events; Flower's own five seconds wake every process of an idle fleet for nothing.
EVENTS_ON_MS = 30_000


class Unauthorized(RequestHandler):
    """Answers 401 to whatever is asked."""

    def prepare(self) -> None:
        """Ask for the login, and say nothing else."""
        self.set_status(401)
        self.set_header("WWW-Authenticate", 'Basic realm="celeriac"')
        self.finish("login required\n")


class GuardedFlower(Flower):  # type: ignore[misc]
    """Flower behind the login; its own guard leaves static files, unknown paths and the two open ones to anybody."""

    def __init__(self, login: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._expected = "Basic " + b64encode(login.encode()).decode() if login else ""

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate:
        """The path's handler, or the one that asks for the login. Paths are understood with the prefix and without."""
        given = request.headers.get("Authorization", "")
        found: HTTPMessageDelegate
        if admits(self._expected, request.path, request.remote_ip, given):
            if request.path != PREFIX and not request.path.startswith(f"{PREFIX}/"):
                request.path = PREFIX + request.path
            found = super().find_handler(request, **kwargs)
        else:
            found = self.get_handler_delegate(request, Unauthorized)
        return found


def admits(expected: str, path: str, peer: str | None, given: str) -> bool:
    """Whether a request for `path` may pass: it carries the `expected` header ("": none is), or asks what is open to
    its peer.
    """
    if not expected or (path in OPEN_PATHS and is_loopback(peer)):
        return True
    return hmac.compare_digest(given.encode(), expected.encode())


def is_loopback(address: str | None) -> bool:
    """Whether an address is this host's own loopback."""
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return address == "localhost"


def login_of(settings: Settings) -> str:
    """`user:password`, or "" when none is set. Raises SettingInvalid when none is set and others could reach the
    port.
    """
    user, password = settings.flower_user, settings.flower_password
    if user and password:
        return f"{user}:{password}"
    if user or password or not is_loopback(settings.flower_address):
        raise SettingInvalid(
            f"Flower on {settings.flower_address} needs CELERIAC_FLOWER_USER and CELERIAC_FLOWER_PASSWORD, both"
        )
    return ""


def run_flower(settings: Settings) -> None:
    """Serve until told to stop. Raises SettingInvalid."""
    text = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logs.set_up(settings.log_format, "flower", text=text, level=logging.WARNING)
    log.setLevel(logging.INFO)
    asyncio.set_event_loop(asyncio.new_event_loop())
    view = make_flower(settings, login_of(settings))
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: IOLoop.current().add_callback_from_signal(view.stop))
    try:
        view.start_http_server()
    except OSError as error:
        raise SettingInvalid(
            f"Flower cannot listen on {settings.flower_address}:{settings.flower_port} ({error.strerror}): "
            "set CELERIAC_FLOWER_ADDRESS and CELERIAC_FLOWER_PORT, or end what has the port"
        ) from error
    log.info("Flower listens on http://%s:%s", settings.flower_address, settings.flower_port)
    view.start()


def make_flower(settings: Settings, login: str) -> GuardedFlower:
    """Flower's application, set up and not yet listening."""
    options.port = settings.flower_port
    options.address = settings.flower_address
    options.basic_auth = [login] if login else []
    options.read_only = not settings.flower_writable
    options.url_prefix = PREFIX.strip("/")
    options.max_tasks = MOST_TASKS
    options.tasks_columns = "uuid,args,state,received,started,runtime,worker"
    options.task_runtime_metric_buckets = RUNTIME_BUCKETS_S
    options.purge_offline_workers = 3600
    Events.events_enable_interval = EVENTS_ON_MS
    app = make_app(BrokerConfig(settings.broker_url, "celeriac-flower"))
    below = {name: PREFIX + urls.settings[name] for name in ("login_url", "static_url_prefix")}
    web = {**urls.settings, **below, "cookie_secret": secrets.token_urlsafe(64)}
    return GuardedFlower(login, capp=app, options=options, **web)
