"""Deletes kept models and published versions that are old. Rule: never a champion's, nor those of the one before it."""

import json
from collections.abc import Iterable
from datetime import datetime

from celeriac.client.dropped import Dropped
from celeriac.decide.publication import old_versions, place_of
from celeriac.domain.records import Champion
from celeriac.runtime.artefacts import Artefacts, version_of
from celeriac.runtime.artefacts.api import version_key
from celeriac.store import Store

_DAY_S = 86_400.0


def champions_by_slice(store: Store) -> list[list[Champion]]:
    """The promoted verdicts of each slice, newest first."""
    names = {each.schedule for each in store.champions()} | {each.name for each in store.schedules()}
    found: dict[tuple[str, str], list[Champion]] = {}
    for each in (verdict for name in sorted(names) for verdict in store.verdicts(name, limit=1_000_000)):
        if each.promoted:
            found.setdefault((each.schedule, json.dumps(each.slice, sort_keys=True)), []).append(each)
    return [sorted(line, key=lambda each: -each.id) for line in found.values()]


def models_to_keep(store: Store, lines: Iterable[list[Champion]]) -> set[str]:
    """The paths of the models of all champions and of those before them."""
    records = (store.publication(each.id) for line in lines for each in line[:2])
    return {record.model.path for record in records if record.model is not None}


def prune_models(store: Store, artefacts: Artefacts, study_id: int, kept: set[str]) -> Dropped:
    """Delete a study's models but those to keep: files first, then from their rows. Raises ArtefactsUnavailable."""
    gone = [key for key in artefacts.keys(f"models/{study_id}") if key not in kept]
    artefacts.delete(gone)
    store.forget_models(study_id, sorted(kept))
    return Dropped(files=len(gone))


def prune_versions(artefacts: Artefacts, lines: Iterable[list[Champion]], before: datetime) -> Dropped:
    """Delete published versions that were decided before then, but for the current one and the one before it."""
    dropped = Dropped(files=artefacts.tidy("champions", _DAY_S) + artefacts.tidy("models", _DAY_S))
    for line in lines:
        place = place_of(line[0].schedule, line[0].slice)
        decided = {each.id: each.decided_at for each in line}
        there = {version for key in artefacts.keys(place) if (version := version_of(key, place)) is not None}
        for version in old_versions({each: decided.get(each) for each in there}, artefacts.current(place), before):
            keys = artefacts.keys(version_key(place, version))
            artefacts.delete(keys)
            dropped += Dropped(files=len(keys))
    return dropped
