"""Metrics behind the login."""

from celeriac.client import Client
from celeriac.domain.records import Scope
from celeriac.store import WebStore
from celeriac.store.tokens import make_token
from tests.celeriac.cli.played import SPEC, played
from tests.celeriac.web.conftest import Ask


def test_metrics_need_a_token_that_may_read(asked: Ask, web_store: WebStore, app: object) -> None:
    with Client(app.state.settings, store=web_store) as client:  # type: ignore[attr-defined]
        played(client, client.submit({**SPEC, "code": str(client.settings.code_root)}), 0.5)
        assert asked().get("/metrics").status_code in (401, 303)
        found = asked(make_token(web_store, "prometheus", (Scope.READ,))).get("/metrics")
    assert found.status_code == 200
    assert found.headers["content-type"].startswith("text/plain")
    assert 'celeriac_trials{state="SCORED"} 1.0' in found.text
