"""JSON Schema of what the API answers, made from the records themselves: the mirror of `celeriac.report.plain`, which
makes the answers. Rule: a type that has no mirror here is an error when the document is made, never a guess.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

Json = dict[str, Any]
_PLAIN: dict[Any, Json] = {
    Any: {},
    object: {},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    str: {"type": "string"},
    Path: {"type": "string"},
    None: {"type": "null"},
    NoneType: {"type": "null"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    # JSON has no number for what is not finite: it is sent as null.
    float: {"type": ["number", "null"]},
}
#: All named shapes that were asked for, by name: the document's components.
COMPONENTS: dict[str, Json] = {}
_OF: dict[str, object] = {}


@dataclass(frozen=True, eq=False)
class Form:
    """The shape of a form: the fields of a record, but for these, and more; those of `maybe` may be absent."""

    name: str
    of: "type | Form | None" = None
    without: Collection[str] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    maybe: Mapping[str, Any] = field(default_factory=dict)

    def properties(self) -> dict[str, Any]:
        """Names and types of what is always there."""
        own = self.of.properties() if isinstance(self.of, Form) else {} if self.of is None else _hints(self.of)
        return {name: hint for name, hint in own.items() if name not in self.without} | dict(self.more)


@dataclass(frozen=True, slots=True)
class Named:
    """A mapping from names that are not known beforehand to values of one shape."""

    each: Any


def page_of(item: Any) -> Form:
    """A page of a list."""
    name = item.name if isinstance(item, Form) else item.__name__
    return Form(f"{name}Page", more={"items": [item], "next": str | None})


def says(shape: Any, status: int = 200, description: str = "Done as asked.") -> dict[int | str, dict[str, Any]]:
    """What a route says of its answer: for its `responses`."""
    return {status: {"description": description, "content": {"application/json": {"schema": schema_of(shape)}}}}


def schema_of(hint: Any) -> Json:
    """The schema of a value of this type as `plain` writes it. Raises TypeError for a type that has none.

    A list with one shape in it is an array of that, a tuple of shapes is one of them, and a mapping of names to shapes
    is an object.
    """
    if isinstance(hint, Form):
        return _named(hint.name, hint)
    if isinstance(hint, Named):
        return {"type": "object", "additionalProperties": schema_of(hint.each)}
    if isinstance(hint, list):
        return {"type": "array", "items": schema_of(hint[0])}
    if isinstance(hint, tuple):
        return {"anyOf": [schema_of(each) for each in hint]}
    if isinstance(hint, Mapping):
        return _object(hint)
    if isinstance(hint, type) and is_dataclass(hint):
        return _named(hint.__name__, hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"type": "string", "enum": [each.value for each in hint]}
    if get_origin(hint) is not None:
        return _generic(get_origin(hint), get_args(hint))
    if hint in _PLAIN:
        return dict(_PLAIN[hint])
    raise TypeError(f"{hint!r} has no schema: what of an answer is it?")


def _generic(origin: Any, inner: tuple[Any, ...]) -> Json:
    if origin in (Union, UnionType):
        return {"anyOf": [schema_of(each) for each in inner]}
    if origin is Literal:
        return {"enum": list(inner)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema_of(inner[1])}
    if origin is tuple and inner[-1:] != (Ellipsis,):
        exact = {"minItems": len(inner), "maxItems": len(inner)}
        return {"type": "array", "prefixItems": [schema_of(each) for each in inner], **exact}
    if isinstance(origin, type) and issubclass(origin, Collection):
        return {"type": "array", "items": schema_of(inner[0])}
    raise TypeError(f"{origin!r} has no schema: what of an answer is it?")


def _named(name: str, shape: Form | type) -> Json:
    known = _OF.setdefault(name, shape)
    if known is not shape:
        raise TypeError(f"two shapes are called {name}: {known!r} and {shape!r}")
    if name not in COMPONENTS:
        COMPONENTS[name] = {}  # it may hold itself
        if isinstance(shape, Form):
            COMPONENTS[name] = _object(shape.properties(), shape.maybe)
        else:
            COMPONENTS[name] = _object(_hints(shape))
    return {"$ref": f"#/components/schemas/{name}"}


def _object(always: Mapping[str, Any], maybe: Mapping[str, Any] | None = None) -> Json:
    known = {name: schema_of(hint) for name, hint in {**always, **(maybe or {})}.items()}
    return {"type": "object", "required": list(always), "properties": known}


def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {each.name: hints[each.name] for each in fields(kind)}
