"""The program: uvicorn with one process, on one address. It tells its starter when it listens."""

import logging
import socket
import ssl

import uvicorn
from fastapi import FastAPI

from celeriac.client import Client
from celeriac.client.client import no_service
from celeriac.domain.errors import SettingInvalid
from celeriac.runtime import logs
from celeriac.runtime.process.programs import announce_ready
from celeriac.runtime.settings import Settings
from celeriac.store import open_web_store
from celeriac.web.app import create_app
from celeriac.web.connection import Connection

#: Connections to Postgres: each request uses one for a moment, and a few browsers ask at once.
_POOL = 6
_STOP_S = 3


def serve(settings: Settings) -> None:
    """Serve until told to stop. Raises SettingInvalid for an address that cannot be had, SchemaMismatch,
    StoreUnavailable.
    """
    text = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logs.set_up(settings.log_format, "web", text=text, level=logging.WARNING)
    if not settings.database_url:
        raise no_service(settings)
    store = open_web_store(settings.database_url, pool_size=max(settings.pool_size, _POOL))
    store.check_schema()
    with Client(settings, store=store) as client:
        server = make_server(settings, create_app(settings, client, store))
        listening = _listen(settings)
        announce_ready(settings.ready_fd)
        server.run(sockets=[listening])


def make_server(settings: Settings, app: FastAPI) -> uvicorn.Server:
    """The server of the app, by TLS where there is a certificate. Raises SettingInvalid for one that is none."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Connection,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_S,
            forwarded_allow_ips=settings.web_proxies,
            ssl_certfile=settings.web_cert or None,
            ssl_keyfile=_key_of(settings),
        )
    )


def _key_of(settings: Settings) -> str | None:
    """The file with the certificate's key, both looked at; None where there is no certificate."""
    cert, key = settings.web_cert, settings.web_key
    if not cert:
        if key:
            raise SettingInvalid(f"CELERIAC_WEB_KEY={key} is set and CELERIAC_WEB_CERT is not: set both, or neither")
        return None
    try:
        # With a password: the library asks for none, which nobody could type here.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key or None, password="")
    except (OSError, ValueError) as error:
        raise SettingInvalid(
            f"CELERIAC_WEB_CERT={cert}, CELERIAC_WEB_KEY={key or '(in the same file)'}: no certificate with its key, "
            f"both PEM and without a password ({getattr(error, 'strerror', None) or error})"
        ) from error
    return key or cert


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.web_address else socket.AF_INET
    try:
        return socket.create_server((settings.web_address, settings.web_port), family=family, backlog=128)
    except OSError as error:
        raise SettingInvalid(
            f"the board cannot listen on {settings.web_address}:{settings.web_port} ({error.strerror}): "
            "set CELERIAC_WEB_ADDRESS and CELERIAC_WEB_PORT, or end what has the port"
        ) from error
