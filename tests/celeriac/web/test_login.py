"""Who gets in: by a token, by a link, by a browser's session; and who does not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from celeriac.domain.errors import TokenInvalid
from celeriac.domain.records import ApiToken, Scope, digest_of
from celeriac.store import WebStore
from celeriac.store.tokens import make_link, make_token
from celeriac.web.auth.failures import MOST, WINDOW_S, Failures
from celeriac.web.auth.guard import OPEN_PATHS
from celeriac.web.auth.principal import COOKIE
from tests.celeriac.web.conftest import Ask


def test_a_token_lets_in_until_it_is_revoked(asked: Ask, web_store: WebStore) -> None:
    secret = make_token(web_store, "ann", (Scope.READ,))
    assert secret not in str(web_store.tokens())
    assert asked(secret).get("/api/v1/studies").json() == {"items": [], "next": None}
    assert web_store.tokens()[0].used_at is not None
    web_store.revoke_token("ann")
    refused = asked(secret).get("/api/v1/studies")
    assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
    with pytest.raises(TokenInvalid, match="names are kept"):
        make_token(web_store, "ann", (Scope.READ,))


def test_a_token_ends_by_itself(asked: Ask, web_store: WebStore) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    web_store.add_token(ApiToken("old", digest_of("clr_old"), (Scope.READ,), past, expires_at=past))
    assert asked("clr_old").get("/api/v1/studies").status_code == 401


def test_a_browser_logs_in_by_a_token_and_out_by_its_form(asked: Ask, web_store: WebStore, token: str) -> None:
    browser = asked()
    sent = browser.get("/studies?state=RUNNING", headers={"Accept": "text/html"})
    assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=/studies%3Fstate%3DRUNNING")
    assert browser.post("/login", data={"token": "clr_wrong"}).status_code == 401
    let_in = browser.post("/login", data={"token": token, "next": "//evil.example/"})
    assert (let_in.status_code, let_in.headers["location"]) == (303, "/")
    cookie = let_in.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert browser.get("/").status_code == 200
    secret = browser.cookies[COOKIE]
    assert browser.post("/logout").status_code == 403  # without the form's own secret
    csrf = web_store.session_of(digest_of(secret)).csrf  # type: ignore[union-attr]
    assert browser.post("/logout", data={"csrf": csrf}, headers={"Origin": "http://evil"}).status_code == 403
    out = browser.post("/logout", data={"csrf": csrf}, headers={"Origin": "http://testserver"})
    assert (out.status_code, out.headers["clear-site-data"]) == (303, '"cache"')  # nor does its disk show them again
    browser.cookies.set(COOKIE, secret)
    assert browser.get("/").status_code == 401


def test_a_link_lets_in_once(asked: Ask, web_store: WebStore, token: str) -> None:
    code = make_link(web_store, "tester")
    first, second = asked(), asked()
    assert first.get(f"/login/once?code={code}").status_code == 303
    assert first.get("/").status_code == 200
    assert second.get(f"/login/once?code={code}").status_code == 401
    second.cookies.set(COOKIE, code)
    assert second.get("/").status_code == 401  # nor is a link a session
    web_store.revoke_token("tester")
    assert first.get("/").status_code == 401
    with pytest.raises(TokenInvalid):
        make_link(web_store, "tester")


def test_a_token_does_what_its_scopes_say(asked: Ask, web_store: WebStore) -> None:
    client = asked(make_token(web_store, "writer", (Scope.SUBMIT,)))
    refused = client.get("/api/v1/studies")
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:celeriac:scope-missing")


def test_failed_logins_are_counted(asked: Ask, token: str) -> None:
    stranger = asked("clr_nobody")
    answers = [stranger.get("/api/v1/studies").status_code for _ in range(MOST + 1)]
    assert answers == [401] * MOST + [429]
    assert asked().post("/login", data={"token": token}).status_code == 429
    assert asked(token).get("/api/v1/studies").status_code == 200  # who has a token is not kept out by who has none


def test_failures_are_forgotten_after_a_minute() -> None:
    now = [0.0]
    failures = Failures(lambda: now[0])
    for _ in range(MOST):
        failures.note("a")
    assert failures.wait_s("a") == WINDOW_S
    assert failures.wait_s("b") == 0
    now[0] = WINDOW_S + 0.1
    assert failures.wait_s("a") == 0


def test_every_path_is_behind_the_login(app: FastAPI, asked: Ask) -> None:
    """Each route of the app, those too that somebody adds later, and paths that there are not."""
    stranger, paths = asked(), []
    paths += [(each.path, set(each.methods)) for each in every_route(app)]
    paths += [("/api/v1/openapi.json", {"GET"}), ("/nowhere", {"GET", "POST"}), ("/api/v1/nowhere", {"GET", "DELETE"})]
    for path, methods in paths:
        for method in methods - {"HEAD"} if path not in OPEN_PATHS else ():
            answer = stranger.request(method, path.replace(":path}", "}").format_map(_Named()))
            assert answer.status_code == 401, (method, path)
            page = stranger.request(
                method, path.replace(":path}", "}").format_map(_Named()), headers={"Accept": "text/html"}
            )
            assert page.status_code == (401 if path.startswith("/api/") or method != "GET" else 303), (method, path)


def every_route(app: FastAPI) -> list[Any]:
    """The app's own routes, those of its routers included."""
    found = [each for each in iter_route_contexts(app.routes) if hasattr(each, "dependant")]
    assert len(found) > 8
    return found


class _Named(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "1"


def test_every_route_names_its_scope(app: FastAPI) -> None:
    for route in every_route(app):
        if route.path in OPEN_PATHS | {"/logout"}:
            continue
        scopes = [each.call.scope for each in route.dependant.dependencies if hasattr(each.call, "scope")]
        assert scopes, route.path


def test_answers_carry_the_headers_that_keep_browsers_from_harm(api: TestClient, asked: Ask) -> None:
    for answer in (api.get("/"), api.get("/api/v1/studies"), asked().get("/login"), asked().get("/nowhere")):
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-cache, private"


def test_a_long_request_is_refused(api: TestClient) -> None:
    assert api.post("/logout", content=b"x" * 1_048_577).status_code == 413
    assert api.post("/logout", content=iter([b"x" * 600_000] * 2)).status_code == 413
