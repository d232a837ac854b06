"""Copies kept models out of the artefact root: a study's best trial's, or a slice's champion's as it is published.

Rule: what is given out has the hash that its row, or its published record, tells.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from celeriac.decide.publication import place_of
from celeriac.domain.errors import CallerError
from celeriac.domain.records import Artefact, StudyRecord, TrialRecord
from celeriac.runtime.artefacts import open_artefacts
from celeriac.runtime.artefacts.api import fetch, version_key
from celeriac.runtime.settings import Settings
from celeriac.store import Store


def best_model(store: Store, settings: Settings, study: StudyRecord, to: Path) -> Artefact:
    """Copy the model of a study's best trial to a path.

    Raises CallerError when it has none, and says why; ArtefactDamaged, ArtefactsUnavailable.
    """
    if study.best_number is None:
        raise CallerError(f"study {study.name} has no scored trial yet, and so no model")
    best = store.trial(study.id, study.best_number)
    if best.model is None:
        raise CallerError(f"trial {best.number} of {study.name} has no model: {_why_none(study, best)}")
    return _copied(settings, best.model, to)


def champion_model(settings: Settings, schedule: str, slice_: Mapping[str, Any], to: Path) -> Artefact:
    """Copy the model of a slice's published champion to a path. Raises as `best_model`."""
    artefacts, place = open_artefacts(settings.artefact_root), place_of(schedule, slice_)
    version = artefacts.current(place)
    if version is None:
        raise CallerError(f"nothing is published at {artefacts.address(place)}: `celeriac champions {schedule}`")
    key = version_key(place, version)
    with tempfile.TemporaryDirectory() as directory:
        record = Path(directory, "record.json")
        artefacts.get(f"{key}/record.json", record)
        model = json.loads(record.read_text())["model"]
    if model is None:
        raise CallerError(
            f"version {version} at {artefacts.address(place)} has no model: have the objective return"
            " celeriac.Result(score, model=lambda path: …)"
        )
    return _copied(settings, Artefact(f"{key}/model", model["sha256"], model["size_bytes"]), to)


def _copied(settings: Settings, model: Artefact, to: Path) -> Artefact:
    if to.is_dir() or not to.absolute().parent.is_dir():
        raise CallerError(f"{to} is no path for a file: name one in a directory that is there")
    try:
        fetch(open_artefacts(settings.artefact_root), model, to)
    except OSError as error:
        raise CallerError(f"{to} cannot be written: {error.strerror or error}") from error
    return model


def _why_none(study: StudyRecord, best: TrialRecord) -> str:
    if not study.spec.get("keep_model"):
        return "its file has no `keep_model: true`"
    return best.detail or "it was deleted by `celeriac prune`"
