"""From rows to records and back. Rule: a column is named like the field it fills, so a row says what it becomes."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from celeriac.domain.records import (
    Artefact,
    Checkpoint,
    Counts,
    EndedTrial,
    Fault,
    Placed,
    Report,
    Snapshot,
    StudyRecord,
)
from celeriac.store.connection import Row
from celeriac.store.postgres.statements import COUNTERS

R = TypeVar("R")


def values_of(record: Any) -> dict[str, Any]:
    """The values of a record by their fields' names: the arguments of a statement that writes it."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def record_of(record: type[R], row: Row) -> R:
    """The record that a row becomes."""
    values = dict(row)
    if record is StudyRecord:
        values["counts"] = Counts(**{name: values.pop(name) for name in COUNTERS})
    elif record is Report:
        kept: dict[str, Any] = {field.name: values.get(field.name) for field in fields(Checkpoint)}
        values = {name: row[name] for name in ("step", "value", "metrics", "at")}
        values["checkpoint"] = None if kept["path"] is None else Checkpoint(**kept)
    elif "rungs" in row:  # a trial's, with its past
        values["rungs"] = tuple((int(rung), float(value)) for rung, value in row["rungs"] or ())
        values["oom_device_kinds"] = sorted(row["oom_device_kinds"] or ())
    for name, convert in _conversions(cast(Hashable, record)).items():
        if values.get(name) is not None:
            values[name] = convert(values[name])
    return record(**values)


@cache
def _conversions(record: Hashable) -> Mapping[str, Callable[[Any], Any]]:
    """How a column becomes a field: one of a closed set, or a tuple; all others are what psycopg makes of them."""
    found: dict[str, Callable[[Any], Any]] = {}
    for name, hint in get_type_hints(record).items():
        enums = [each for each in (hint, *get_args(hint)) if isinstance(each, type) and issubclass(each, StrEnum)]
        if Artefact in (hint, *get_args(hint)):
            found[name] = lambda kept: Artefact(**kept)
        elif Placed in (hint, *get_args(hint)):
            found[name] = placed_of
        elif get_origin(hint) is tuple:
            found[name] = _tuple_of(enums[0]) if enums else tuple
        elif enums:
            found[name] = enums[0]
    return found


def _tuple_of(kind: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda kept: tuple(kind(each) for each in kept)


def placed_of(kept: Mapping[str, Any]) -> Placed:
    """Where a trial was placed, as its row has it."""
    return Placed(tuple(kept["devices"]), float(kept["share"]), int(kept["memory_bytes"]))


def snapshot_of(row: Row) -> Snapshot:
    """What a turn decides on, from the study's row with what was read beside it."""
    study = dict(row)
    beside = {name: study.pop(name) for name in ("now", "last_ended", "paused_numbers", "waiting_numbers")}
    return Snapshot(
        study=record_of(StudyRecord, study),
        paused=tuple(beside["paused_numbers"]),
        waiting=tuple(beside["waiting_numbers"]),
        last_ended=tuple(_ended_trial(each) for each in beside["last_ended"] or ()),
        now=beside["now"],
    )


def _ended_trial(values: Sequence[Any]) -> EndedTrial:
    """A trial's end, from the values of its fields as JSON gives them."""
    number, fault, signature, detail, ended_at = values
    return EndedTrial(number, Fault(fault) if fault else None, signature, detail, datetime.fromisoformat(ended_at))
