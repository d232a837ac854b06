"""The client that follows studies."""

from tests.celeriac.client.conftest import client as client
