"""From JSON back to records. Rule: the API sends a record's fields by their names; what is missing is the default."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from celeriac.domain.records import Attempt, StudyRecord

R = TypeVar("R")


def record_from(kind: type[R], form: Any) -> R:
    """The record that a form becomes."""
    return cast(R, _decoded(kind, form))


def study_from(form: Mapping[str, Any]) -> StudyRecord:
    """A study's row: its form leaves out what only the coordinator needs."""
    best = form.get("best") or {}
    counts = form["counts"]
    return record_from(
        StudyRecord,
        {
            "spec": {},
            **form,
            "turn": 0,
            "next_number": sum(counts.values()),
            "best_number": best.get("trial"),
            "best_score": best.get("score"),
        },
    )


def attempt_from(form: Mapping[str, Any]) -> Attempt:
    """An attempt; its lease's token stays with the service."""
    return record_from(Attempt, {**form, "token": ""})


def _decoded(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _decoded(next(each for each in inner if each is not NoneType), value)
    if isinstance(hint, type) and is_dataclass(hint):
        known = _hints(hint)
        return hint(**{name: _decoded(known[name], value[name]) for name in known if name in value})
    if origin is tuple:
        kinds = inner[:1] * len(value) if inner[-1:] == (Ellipsis,) else inner
        return tuple(_decoded(kind, each) for kind, each in zip(kinds, value, strict=True))
    if isinstance(value, list):
        return [_decoded(inner[0], each) for each in value] if inner else value
    if isinstance(value, dict):
        if len(inner) != 2:
            return value
        return {_decoded(inner[0], key): _decoded(inner[1], each) for key, each in value.items()}
    if hint in (datetime, date):
        return hint.fromisoformat(value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    return int(value) if hint is int and isinstance(value, str) else value


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {each.name: hints[each.name] for each in fields(kind) if each.init}
