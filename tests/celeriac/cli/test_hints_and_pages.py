"""What the command suggests can be pasted; what it lists is read page by page, and an outage in between is borne."""

import json
from pathlib import Path
from typing import Any

import pytest

from celeriac.cli.live import look
from celeriac.client import Client
from celeriac.client.study import Outage
from celeriac.domain.errors import StoreUnavailable
from celeriac.domain.records import TrialState
from celeriac.store.postgres import PostgresStore
from tests.celeriac.cli.played import SPEC, Celeriac, closed, played, started
from tests.celeriac.store.scenes import suggestion


def test_what_it_suggests_can_be_pasted(celeriac: Celeriac, client: Client, tmp_path: Path) -> None:
    study = client.open(SPEC).study
    played(client, study, 0.5, 0.9)
    closed(client, study)
    home = tmp_path / "a home"
    said = celeriac("best", "digits", "--home", str(home)).out
    assert f"celeriac best digits --yaml --home '{home}' > best.yaml" in said
    assert "celeriac best digits --yaml > best.yaml" in celeriac("best", "digits").out


def test_the_newest_trials_are_read_without_the_others(
    celeriac: Celeriac, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = client.open({**SPEC, "budget": {"trials": 1200}}).study
    started(client, study)
    client.store.add_trials(study.id, study.record.turn, [suggestion(lr=0.1)] * 1200)
    for number in (3, 600):
        client.store.cancel_trial(study.id, number, "not wanted")
    read, trials = [], client.store.trials

    def counted(*args: Any, **how: Any) -> Any:
        read.extend(found := trials(*args, **how))
        return found

    monkeypatch.setattr(client.store, "trials", counted)
    assert [each.number for each in study.newest_trials(50)] == list(range(1150, 1200))
    assert len(read) == 50
    assert [each.number for each in study.newest_trials(5, [TrialState.CANCELLED])] == [3, 600]
    assert [each.number for each in study.newest_trials(1, [TrialState.CANCELLED])] == [600]


def test_attempts_and_reports_are_read_a_page_at_a_time(
    celeriac: Celeriac, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = client.open(SPEC).study
    played(client, study, 0.5, 0.9)
    asked = []
    for verb in ("attempts", "reports", "attempts_of", "reports_of"):
        whole = getattr(PostgresStore, verb)

        def noted(*args: Any, verb: str = verb, whole: Any = whole, **how: Any) -> Any:
            asked.append(verb)
            return whole(*args, **how)

        monkeypatch.setattr(PostgresStore, verb, noted)
    assert [each["runs"][0]["number"] for each in json.loads(celeriac("trials", "digits", "--json").out)] == [1, 1]
    form = json.loads(celeriac("export", "digits", "--format", "json", "--reports").out)
    assert [each["reports"] for each in form["trials"]] == [[], []]
    assert celeriac("export", "digits", "--reports").code == 0
    assert asked == ["attempts_of", "attempts_of", "reports_of", "reports_of"]


def test_an_outage_between_a_look_and_its_best_trial_is_borne(
    celeriac: Celeriac, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = client.open(SPEC).study
    played(client, study, 0.5)
    outage = Outage()
    whole = client.store.trial

    def away(*_: Any) -> Any:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(client.store, "trial", away)
    assert outage.bridged(lambda: look(client, study)) is None
    monkeypatch.setattr(client.store, "trial", whole)
    seen = outage.bridged(lambda: look(client, study))
    assert seen is not None
    assert seen[1] is not None
    assert seen[1].number == 0
