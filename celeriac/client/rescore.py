"""A slice's past nights under another gate or sampler, from the rows alone; nothing is trained and nothing written."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from celeriac.client.client import Client
from celeriac.client.coordinator import ask_coordinator
from celeriac.decide.calendar import calendar_of, plan_of
from celeriac.decide.firing import night_name
from celeriac.decide.night.rescore import Changes, NightRecord, RescoredNight, rescore
from celeriac.decide.night.rules import rules_of
from celeriac.domain.errors import CallerError
from celeriac.domain.records import Schedule, Stage, StudyRecord, VerdictKind
from celeriac.domain.study_file import parse_gate, plain_scalar
from celeriac.store import Store
from celeriac.store.dues import slice_key

#: So many verdicts of a slice are looked back at, at most.
_MOST_VERDICTS = 10_000
_KEYS = ("min_gain", "pairs", "fdr")


def gate_changes(written: str) -> Changes:
    """`min_gain=0.01,pairs=12` as rules; `fdr=none`: each slice by itself. Raises CallerError, and SpecInvalid for a
    value that a schedule's `gate` would not take either.
    """
    given: dict[str, Any] = {}
    for part in filter(None, (each.strip() for each in written.split(","))):
        key, equals, value = part.partition("=")
        if not equals or key.strip() not in _KEYS:
            raise CallerError(f"--gate {part!r}: write {', '.join(f'{each}=VALUE' for each in _KEYS)}")
        given[key.strip()] = plain_scalar(value.strip())
    if not given:
        raise CallerError(f"--gate names no rule: write {', '.join(f'{each}=VALUE' for each in _KEYS)}")
    no_fdr = given.get("fdr") == "none"
    rules = parse_gate({key: value for key, value in given.items() if not (key == "fdr" and no_fdr)}, "--gate")
    return Changes(
        min_gain=rules.min_gain if "min_gain" in given else None,
        pairs=rules.pairs if "pairs" in given else None,
        fdr=rules.fdr,
        no_fdr=no_fdr,
    )


def rescore_gate(store: Store, schedule: str, slice_: Mapping[str, Any], changes: Changes) -> list[RescoredNight]:
    """The slice's nights with a verdict, the oldest first. Raises UnknownSchedule, and CallerError before the first."""
    row, slices = store.schedule(schedule), store.slice_dues(schedule)
    own = _records(store, row, slice_)
    if not own:
        raise CallerError(f"no night of this slice of {schedule} has ended with a verdict: there is nothing to replay")
    asks_fdr = any(changes.of(each.rules).fdr is not None for each in own)
    others = [each.slice for each in slices if each.slice != slice_] if asks_fdr else []
    records = [*own, *(record for each in others for record in _records(store, row, each))]
    found = rescore(sorted(records, key=lambda each: each.due_at), changes, max(len(slices), 1))
    return [each for each in found if each.slice == own[0].slice]


def _records(store: Store, row: Schedule, slice_: Mapping[str, Any]) -> list[NightRecord]:
    """The verdicts on a slice, the oldest first; a person's stands beside the night before it."""
    calendar, key = calendar_of(row), slice_key(slice_)
    found: list[NightRecord] = []
    for verdict in reversed(store.verdicts(row.name, slice_=slice_, limit=_MOST_VERDICTS)):
        if verdict.firing_id is not None and verdict.kind is VerdictKind.NIGHT:
            firing = store.firing(verdict.firing_id)
            night = night_name(plan_of(calendar, firing.slice), firing.due_at, by_hand=firing.by_hand)
            rules = rules_of(store.firing_plan(firing.id)).gate
            found.append(NightRecord(night, firing.due_at, key, verdict, rules))
        elif found:
            found.append(replace(found[-1], verdict=verdict))
    return found


def rescore_sampler(
    client: Client, schedule: str, slice_: Mapping[str, Any], sampler: str, *, nights: int, seeds: int
) -> list[dict[str, Any]]:
    """What the sampler would have found on the slice's newest searches, the oldest first: an estimate, made by the
    coordinator's own program (`coordinator.suggest.rescore`).

    Raises CallerError before the first search and for a sampler that is none, CeleriacError when the coordinator is not
    installed here.
    """
    store = client.store
    firings = store.firings(schedule, slice_=slice_, limit=_MOST_VERDICTS)
    searches = [each for each in _searches(client, [each.id for each in firings]) if each.counts.finished][-nights:]
    if not searches:
        raise CallerError(f"no search of this slice of {schedule} has a finished trial: there is nothing to replay")
    ids = [str(each.id) for each in searches]
    found: list[dict[str, Any]] = ask_coordinator(
        client.settings, "rescore", sampler, str(seeds), *ids, what=f"the replay under {sampler}"
    )
    return found


def _searches(client: Client, firing_ids: Sequence[int]) -> list[StudyRecord]:
    """By due time."""
    studies = [each for each in client.store.stage_studies(firing_ids) if each.stage is Stage.SEARCH]
    return sorted(studies, key=lambda each: (str(each.due_at), each.id))
