"""Publishes a champion: `champions/<schedule>/<slice>/current` holds model, parameters, record and code fingerprint.

Rules: a version is made whole before `current` names it, in one step; `current` goes forward only; and what is
published once is published, however often, and by however many, it is tried.
"""

import json
from dataclasses import fields
from datetime import datetime
from typing import Any

from celeriac.decide.publication import place_of, publication
from celeriac.domain.records import Publication, Published
from celeriac.runtime.artefacts import ArtefactDamaged, Artefacts
from celeriac.runtime.artefacts.api import version_key

MODEL, PARAMS, RECORD, CODE = "model", "params.json", "record.json", "code.txt"


def publish(root: Artefacts, record: Publication) -> Published:
    """Make the record's version the slice's current one, unless a later one is. Safe to repeat, and from anywhere.

    A roll-back is published likewise, as a version of its own with the earlier champion's parameters and model. Raises
    ArtefactsUnavailable (try again), ArtefactDamaged (its model is gone, is another, or is missing).
    """
    place = place_of(record.schedule, record.slice)
    key = version_key(place, record.version)
    current = root.current(place)
    decision = publication(record.version, current)
    if decision.advance and record.model is None and current is not None:
        _require_no_model(root, record, version_key(place, current))
    if decision.pack:
        root.pack(key, texts_of(record), {} if record.model is None else {MODEL: record.model})
    is_new = decision.advance and root.advance(place, record.version)
    reason = decision.reason if is_new or not decision.advance else "a later version came first"
    return Published(record.version, root.address(key), is_new, reason)


def _require_no_model(root: Artefacts, record: Publication, before: str) -> None:
    """A slice whose current version has a model gets none without: who serves it would have nothing to load."""
    if f"{before}/{MODEL}" in root.keys(before):
        raise ArtefactDamaged(
            f"promotion {record.version} of {record.schedule} has no model, and the version before it has one, which"
            " stays current: see the detail of the trials that confirmed it (`celeriac trials STUDY`)"
        )


def texts_of(record: Publication) -> dict[str, str]:
    """A version's files, but for the model."""
    form = {each.name: _plain(getattr(record, each.name)) for each in fields(record) if each.name != "more"}
    if record.model is not None:
        form["model"] = {"sha256": record.model.sha256, "size_bytes": record.model.size_bytes}
    return {PARAMS: _json(dict(record.params)), RECORD: _json({**form, **record.more}), CODE: f"{record.code}\n"}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"
