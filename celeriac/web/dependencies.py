"""What a route depends on, of the API or of a page: the store, and a client that acts as the one who asks."""

from typing import Annotated

from fastapi import Depends, Request

from celeriac.client import Client
from celeriac.store import WebStore
from celeriac.web.auth.code import code_roots
from celeriac.web.auth.principal import principal_of


def _store_of(request: Request) -> WebStore:
    store: WebStore = request.app.state.store
    return store


def _client_of(request: Request) -> Client:
    client: Client = request.app.state.client
    principal = principal_of(request)
    return client.acting_as(principal.name, code_roots(client.settings, principal))


StoreDep = Annotated[WebStore, Depends(_store_of)]
ClientDep = Annotated[Client, Depends(_client_of)]
