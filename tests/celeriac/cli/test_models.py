"""`celeriac best --model`: a study's best trial's model, and a champion's, copied out and held to their hashes."""

import json
from pathlib import Path

from celeriac.client import Client
from celeriac.domain.records import Artefact, Champion, Publication
from celeriac.runtime.artefacts import open_artefacts
from celeriac.runtime.artefacts.api import hashed
from coordinator.outbox.publish import publish
from tests.celeriac.cli.played import PLAN, SPEC, Celeriac, leased, played, started
from tests.celeriac.store.scenes import scored


def kept(client: Client, text: str, key: str) -> Artefact:
    local = client.settings.home / "local"
    local.parent.mkdir(parents=True, exist_ok=True)
    local.write_text(text)
    model = hashed(local, key)
    open_artefacts(client.settings.artefact_root).put(local, key)
    return model


def test_the_best_trial_s_model_is_copied_out(celeriac: Celeriac, client: Client, tmp_path: Path) -> None:
    study = client.open({**SPEC, "keep_model": True}).study
    started(client, study)
    model = kept(client, "weights", "models/1/0-1-a")
    client.store.finish_attempt(leased(client, study).token, scored(0.5, model=model))
    ran = celeriac("best", "digits", "--model", "out.pt")
    assert (ran.code, (tmp_path / "out.pt").read_text()) == (0, "weights")
    assert "7 bytes" in ran.out + ran.err
    assert study.best_model(tmp_path / "again.pt").read_text() == "weights"
    told = json.loads(celeriac("best", "digits", "--json").out)["model"]
    assert told == {"path": "models/1/0-1-a", "sha256": model.sha256, "size_bytes": 7}


def test_a_model_that_was_spoiled_is_not_given_out(celeriac: Celeriac, client: Client, tmp_path: Path) -> None:
    study = client.open({**SPEC, "keep_model": True}).study
    started(client, study)
    model = kept(client, "weights", "models/1/0-1-a")
    client.store.finish_attempt(leased(client, study).token, scored(0.5, model=model))
    Path(client.settings.artefact_root, model.path).write_text("WEIGHTS")
    ran = celeriac("best", "digits", "--model", "out.pt")
    assert (ran.code, "it was changed after it was kept" in ran.err.replace("\n", " ")) == (2, True)
    assert not (tmp_path / "out.pt").exists()


def test_why_there_is_no_model_is_said(celeriac: Celeriac, client: Client) -> None:
    study = client.open(SPEC).study
    assert "no scored trial yet" in celeriac("best", "digits", "--model", "out.pt").err
    played(client, study, 0.5)
    ran = celeriac("best", "digits", "--model", "out.pt")
    assert (ran.code, "`keep_model: true`" in ran.err) == (2, True)


def test_a_champion_s_model_is_the_published_one(celeriac: Celeriac, client: Client, tmp_path: Path) -> None:
    client.add_schedule({**SPEC, **PLAN})
    none = celeriac("best", "nightly", "--slice", "r=eu", "--model", "out.pt")
    assert (none.code, "nothing is published at" in none.err) == (2, True)
    record = Publication(
        schedule="nightly",
        slice={"r": "eu"},
        version=3,
        study="nightly/r=eu/2026-01-01",
        trial=0,
        params={"lr": 0.01},
        score=0.5,
        metrics={},
        reason="better",
        decided_at=None,
        model=kept(client, "weights", "models/1/0-1-a"),
    )
    publish(open_artefacts(client.settings.artefact_root), record)
    assert celeriac("best", "nightly", "--slice", "r=eu", "--model", "out.pt").code == 0
    assert (tmp_path / "out.pt").read_text() == "weights"
    which = celeriac("best", "nightly", "--model", "out.pt")
    assert (which.code, "say which slice; it has r=eu; r=us" in which.err.replace("\n", " ")) == (2, True)


def test_what_has_not_come_through_is_shown(celeriac: Celeriac, client: Client) -> None:
    client.add_schedule({**SPEC, **PLAN})
    study = client.open(SPEC).study
    verdict = Champion("nightly", {"r": "eu"}, study.id, "digits", 0, {"lr": 0.01}, 0.5, 0.4, {}, True, "better")
    made = client.store.record_champion(verdict)
    [publish] = client.store.due_deliveries()
    assert "not published yet" in celeriac("champion", "nightly", "r=eu").out
    assert client.store.claim_delivery(publish.id, 60) == 1
    client.store.end_delivery(publish.id, 1, "the disk is full", 600.0)
    assert "not published after one try, next at" in celeriac("champion", "nightly", "r=eu").out
    shown = celeriac("schedule", "show", "nightly").out
    assert f"nightly r=eu: promotion {made.id}: not published after one try" in shown
    assert "the disk is full" in shown
    told = json.loads(celeriac("schedule", "show", "nightly", "--json").out)["deliveries"]
    assert [(each["promotion"], each["kind"], each["tries"]) for each in told] == [
        (made.id, "publish", 1),
        (made.id, "hook", 0),
    ]
    client.store.end_delivery(publish.id, 1, "/artefacts/versions/1: the slice's first version")
    champion = celeriac("champion", "nightly", "r=eu").out
    assert "published: /artefacts/versions/1: the slice's first version" in champion
    assert "hook has not come through yet" in champion
    assert "promotion" not in celeriac("schedule", "show", "nightly").out
