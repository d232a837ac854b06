"""What is deleted of old studies, and what never is."""

from datetime import timedelta
from pathlib import Path

import pytest

from celeriac.client import Client, Study
from celeriac.client.retention import Kinds, old_studies, prune
from celeriac.domain.errors import IllegalTransition, StoreUnavailable
from celeriac.domain.records import Artefact, Champion, Checkpoint, Report
from celeriac.runtime.artefacts import open_artefacts, version_of
from celeriac.runtime.artefacts.api import hashed
from coordinator.outbox.publish import publish
from tests.celeriac.cli.played import NEW_YEAR, PLAN, SPEC, closed, leased, started
from tests.celeriac.store.scenes import scored


def with_checkpoints(client: Client, study: Study, *paths: str) -> None:
    """Two trials that were scored; the first wrote these checkpoints."""
    started(client, study)
    lease = leased(client, study)
    kept = [
        Report(step, 0.5, checkpoint=Checkpoint(study.id, lease.number, 1, step, path, "0" * 64, 10))
        for step, path in enumerate(paths)
    ]
    client.store.report(lease.token, kept)
    client.store.finish_attempt(lease.token, scored(0.5, log_tail="trial 0\n"))
    client.store.finish_attempt(leased(client, study).token, scored(0.9, log_tail="trial 1\n"))


def test_pruning_deletes_old_files_but_nothing_of_a_champion_and_nothing_outside(
    client: Client, tmp_path: Path
) -> None:
    client.add_schedule({**SPEC, **PLAN})
    night, other = client.fire("nightly", NEW_YEAR)
    with_checkpoints(client, night, "n/a.pt", "../../outside.pt", "n/gone.pt")
    with_checkpoints(client, other, "o/b.pt")
    for study in (night, other):
        closed(client, study)
    record = night.record
    client.store.record_champion(
        Champion("nightly", record.slice, record.id, record.name, 1, {"lr": 0.02}, 0.9, 0.5, {}, True, "better")
    )
    logs, checkpoints = client.settings.log_root, client.settings.checkpoint_root
    files = [logs / str(study.id) / f"{number}-1.log" for study in (night, other) for number in (0, 1)]
    written, outside = [checkpoints / "n" / "a.pt", checkpoints / "o" / "b.pt"], tmp_path / "outside.pt"
    for path in (*files, *written, outside):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 10)
    long_from_now = client.store.now() + timedelta(days=1)
    assert {study.name for study in old_studies(client.store, long_from_now)} == {night.name, other.name}
    assert list(old_studies(client.store, long_from_now - timedelta(days=2))) == []
    told: list[str] = []
    total = prune(client.store, client.settings, long_from_now, Kinds(), lambda study, _: told.append(study.name))
    assert sorted(told) == sorted([night.name, other.name])
    assert (total.files, total.size_bytes, total.checkpoints, total.missing) == (5, 50, 3, 1)
    assert [path.exists() for path in files] == [False, True, False, False]
    assert not any(path.parent.exists() for path in written)
    assert checkpoints.exists()
    assert outside.exists()
    assert "outside.pt is not below" in total.refused[0]
    assert [each.path for each in client.store.checkpoints(night.id, 0)] == ["../../outside.pt"]
    again = prune(client.store, client.settings, long_from_now, Kinds(), lambda *_: None)
    assert (again.files, again.checkpoints, len(again.refused)) == (0, 0, 1)


def test_pruning_that_was_interrupted_goes_on_and_forgets_no_file(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = client.open(SPEC).study
    with_checkpoints(client, study, "a.pt", "b.pt")
    closed(client, study)
    root = client.settings.checkpoint_root
    later = client.store.now() + timedelta(days=1)
    away = prune(client.store, client.settings, later, Kinds(), lambda *_: None)
    assert (away.checkpoints, "is not on this host" in away.refused[0]) == (0, True)
    root.mkdir(parents=True)
    for name in ("a.pt", "b.pt"):
        (root / name).write_text("x")

    def cut_off(*_: object) -> int:
        raise StoreUnavailable("cut off between the files and their rows")

    with monkeypatch.context() as patch:
        patch.setattr(client.store, "prune_checkpoints", cut_off)
        with pytest.raises(StoreUnavailable):
            prune(client.store, client.settings, later, Kinds(), lambda *_: None)
    assert list(root.iterdir()) == []
    total = prune(client.store, client.settings, later, Kinds(), lambda *_: None)
    assert (total.checkpoints, total.missing) == (2, 2)
    assert client.store.checkpoints(study.id, 0) == []


def test_a_study_is_deleted_with_its_files_and_nothing_else(client: Client) -> None:
    study, other = client.submit(SPEC), client.submit({**SPEC, "study": "other"})
    roots = (client.settings.checkpoint_root, client.settings.log_root)
    for each in (study, other):
        for root in roots:
            (root / str(each.id) / "0").mkdir(parents=True)
            (root / str(each.id) / "0" / "1.pt").write_text("weights")
    (roots[0] / str(study.id) / "0" / "2.pt.tmp").write_text("half")
    with pytest.raises(IllegalTransition, match="`celeriac stop digits` ends it first"):
        study.delete()
    assert (roots[0] / str(study.id)).exists()
    study.stop()
    assert client.study("digits").delete().files == 3  # by name: below this client's roots all the same
    assert not any((root / str(study.id)).exists() for root in roots)
    assert all((root / str(other.id) / "0" / "1.pt").exists() for root in roots)
    assert client.submit(SPEC).id != study.id


def test_models_of_nights_go_but_never_a_champion_s_or_that_of_the_one_before_it(client: Client) -> None:
    root = open_artefacts(client.settings.artefact_root)
    client.add_schedule({**SPEC, **PLAN})
    champions: list[Champion] = []
    for day in range(4):
        night = client.fire("nightly", NEW_YEAR + timedelta(days=day))[0]
        started(client, night)
        for score in (0.5, 1.5):
            lease = leased(client, night)
            model = kept_model(client, f"models/{night.id}/{lease.number}")
            client.store.finish_attempt(lease.token, scored(score, model=model))
        closed(client, night)
        record, before = night.record, champions[-1].id if champions else None
        verdict = Champion(
            *(
                "nightly",
                record.slice,
                record.id,
                record.name,
                lease.number,
                {"lr": 0.02},
                1.5,
                0.5,
                {},
                True,
                "better",
            ),
            before_id=before,
        )
        champions.append(client.store.record_champion(verdict))
        publish(root, client.store.publication(champions[-1].id))
    plain = client.open({**SPEC, "keep_model": True}).study
    started(client, plain)
    client.store.finish_attempt(
        leased(client, plain).token, scored(0.5, model=kept_model(client, f"models/{plain.id}/0"))
    )
    closed(client, plain)
    later = client.store.now() + timedelta(days=1)
    prune(client.store, client.settings, later, Kinds(), lambda study, _: None)
    last = [f"models/{each.study_id}/{each.trial}" for each in champions[2:]]
    assert root.keys("models") == sorted([*last, f"models/{plain.id}/0"])
    place = "champions/nightly/r=eu"
    there = {version_of(key, place) for key in root.keys(place)} - {None}
    assert there == {each.id for each in champions[2:]}
    kept = [client.store.trial(each.study_id, each.trial or 0).model is not None for each in champions]
    assert kept == [False, False, True, True]
    prune(client.store, client.settings, later, Kinds(models=True), lambda study, _: None)
    assert root.keys("models") == last
    assert client.store.trial(plain.id, 0).model is None


def test_deleting_a_study_deletes_its_models(client: Client) -> None:
    study = client.open({**SPEC, "keep_model": "all"}).study
    started(client, study)
    client.store.finish_attempt(
        leased(client, study).token, scored(0.5, model=kept_model(client, f"models/{study.id}/0"))
    )
    closed(client, study)
    assert study.delete().files == 1
    assert open_artefacts(client.settings.artefact_root).keys("models") == []


def kept_model(client: Client, key: str) -> Artefact:
    local = client.settings.home / "local"
    local.parent.mkdir(parents=True, exist_ok=True)
    local.write_text(key)
    open_artefacts(client.settings.artefact_root).put(local, key)
    return hashed(local, key)
