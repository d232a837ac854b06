"""A study's page is pushed as it changes: made once for all who look on, until the study is closed or they may not."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue

import httpx
import pytest
from fastapi import FastAPI

from celeriac.client import Client, Study
from celeriac.domain.records import Report
from celeriac.store import WebStore
from celeriac.web.auth import admission
from celeriac.web.pages import following
from celeriac.web.pages.study import StudyNow, look
from tests.celeriac.cli.played import SPEC, leased, played
from tests.celeriac.store.scenes import scored

WITHIN_S = 20.0
OVER = "the stream is over"


@pytest.fixture
def study(app: FastAPI) -> Study:
    """A study with one scored trial and one that runs."""
    client: Client = app.state.client
    made = client.submit({**SPEC, "budget": {"trials": 6}, "code": str(client.settings.code_root)})
    played(client, made, 0.5)
    return made


@contextmanager
def watching(address: str, token: str) -> Iterator["Queue[str]"]:
    """The parts of that study's page, as they come; `OVER` at the stream's end."""
    told: Queue[str] = Queue()
    headers = {"Authorization": f"Bearer {token}"}

    def look() -> None:
        with httpx.stream("GET", f"{address}/studies/digits/following", headers=headers, timeout=60) as stream:
            lines: list[str] = []
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    lines.append(line[5:])
                elif not line and lines:
                    told.put("\n".join(lines))
                    lines = []
        told.put(OVER)

    thread = threading.Thread(target=look)
    thread.start()
    yield told
    thread.join(timeout=WITHIN_S)
    assert not thread.is_alive()


def test_viewers_see_each_change_and_it_is_made_once_for_all(
    app: FastAPI, served: str, token: str, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, made = app.state.client, []

    def counted(client: Client, name: str) -> StudyNow:
        made.append(name)
        return look(client, name)

    monkeypatch.setattr(following, "look", counted)
    with watching(served, token) as one, watching(served, token) as two:
        assert all("trial 0</a>" in each.get(timeout=WITHIN_S) for each in (one, two))
        lease = leased(client, study)
        assert all("trial 1" in each.get(timeout=WITHIN_S) for each in (one, two))
        client.store.report(lease.token, [Report(7, 0.25)])
        assert all("0.25" in each.get(timeout=WITHIN_S) for each in (one, two)), "a report is a change"
        client.store.finish_attempt(lease.token, scored(0.75))
        assert all("0.75" in each.get(timeout=WITHIN_S) for each in (one, two))
        study.stop("enough")
        for each in (one, two):
            parts = list(iter(lambda each=each: each.get(timeout=WITHIN_S), OVER))  # type: ignore[misc]
            assert "data-over" in parts[-1], "and with that it ends"
    assert len(made) <= 10, "five changes and more, and never once a viewer"
    assert not app.state.feeds._made, "nothing is kept of what nobody follows"


def test_a_token_that_is_revoked_sees_no_more(
    served: str, token: str, web_store: WebStore, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "AGAIN_S", 0.5)
    with watching(served, token) as told:
        assert "trial 0</a>" in told.get(timeout=WITHIN_S)
        web_store.revoke_token("tester")
        assert OVER in iter(lambda: told.get(timeout=WITHIN_S), None)


@pytest.mark.usefixtures("study")
def test_who_comes_back_with_its_tag_is_told_nothing_twice(app: FastAPI, served: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{served}/studies/digits/following"
    with httpx.stream("GET", url, headers=headers, timeout=30) as stream:
        tag = next(line.removeprefix("id: ") for line in stream.iter_lines() if line.startswith("id: "))
    app.state.client.study("digits").stop("enough")
    with httpx.stream("GET", url, headers={**headers, "Last-Event-ID": tag}, timeout=30) as stream:
        assert tag not in stream.read().decode()
