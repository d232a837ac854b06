"""YAML read as version 1.2 with its core schema, whatever the file says of its version, and the line of each key.

Rule: `1e-4` and `1e4` are numbers, `on`, `no` and `yes` are words, `1:30` and `2026-11-23` are text, `012` is 12; and
what a file could mean in two ways (a key that is there twice, a tag, a second document) is refused.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from celeriac.domain.errors import SpecInvalid
from celeriac.domain.space import show
from celeriac.domain.space.words import MOST_NAME
from celeriac.domain.study_file.section import MOST_TOLD

if TYPE_CHECKING:
    from pathlib import Path

Scalar = str | int | float | bool

_MOST_BYTES = 1_000_000
_DEEPEST = 20  # levels of nesting; a study has five
_MOST_VALUES = 50_000  # keys, values, lists and mappings together; of a nightly study of 1,000 slices some 20,000


def read(path: "Path", source: str) -> tuple[object, dict[str, int]]:
    """The document of a file (None when it is empty), and the line of each key path in it, such as `space.lr`.

    Raises SpecInvalid, each line led by `source`, for what is no text, no YAML, too large or too deep, and for
    duplicate keys, tags and more than one document.
    """
    return read_text(_text_of(path, source), source)


def _text_of(path: "Path", source: str) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            raise SpecInvalid(f"{source}: is larger than {_MOST_BYTES} bytes: that is no study file")
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise SpecInvalid(f"{source}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SpecInvalid(f"{source}: is no UTF-8 text (byte {error.start}): that is no study file") from error


def read_text(text: str, source: str) -> tuple[object, dict[str, int]]:
    """As `read`, of a text."""
    if len(text) > _MOST_BYTES:
        raise SpecInvalid(f"{source}: is larger than {_MOST_BYTES} bytes: that is no study file")
    # Imported here, so that only who reads a file pays for it.
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    reader = _YamlReader(source)
    try:
        # Events, not ruamel's own values: they tell plain from quoted text, and know the lines.
        document = reader.document(YAML(typ="safe", pure=True).parse(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" (line {mark.line + 1})" if mark else ""
        raise SpecInvalid(f"{source}: is no YAML: {error.problem or error.context}{line}") from error
    except YAMLError as error:
        raise SpecInvalid(f"{source}: is no YAML: {str(error).splitlines()[0]}") from error
    if reader.problems:
        raise SpecInvalid(reader.problems)
    return document, reader.lines


class _YamlReader:
    """Builds values from parser events by the core schema of YAML 1.2, noting the line of each key path."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[str] = []
        self.lines: dict[str, int] = {}
        self._anchors: dict[str, object] = {}
        self._depth = self._values = 0

    def document(self, events: Iterator[Any]) -> object:
        """The one document of a stream; None when it is empty."""
        found: list[object] = []
        for event in events:
            if type(event).__name__ == "DocumentStartEvent":
                if found:
                    self._note(event, "a second document begins; a study file holds one")
                found.append(self._value(next(events), events, ""))
        return found[0] if found else None

    def _value(self, event: Any, events: Iterator[Any], path: str) -> object:
        kind = type(event).__name__
        if kind == "AliasEvent":
            if event.anchor not in self._anchors:
                self._note(event, f"the alias *{event.anchor} has no anchor &{event.anchor} before it")
            return self._anchors.get(event.anchor)
        if event.tag is not None:
            self._note(event, "a tag (!…) has no meaning here; write text in quotes, numbers plain")
        value: object
        self._depth += 1
        self._values += 1
        if self._values > _MOST_VALUES:
            raise SpecInvalid(f"{self.source}: holds more than {_MOST_VALUES} values: that is no study file")
        if self._depth > _DEEPEST:
            raise SpecInvalid(f"{self.source}: is nested too deeply for a study file")
        if kind == "MappingStartEvent":
            value = self._mapping(events, path)
        elif kind == "SequenceStartEvent":
            value = self._sequence(events, path)
        else:
            value = self._scalar(event)
        self._depth -= 1
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        return value

    def _mapping(self, events: Iterator[Any], path: str) -> dict[Any, object]:
        found: dict[Any, object] = {}
        first: dict[Any, int] = {}
        for event in events:
            if type(event).__name__ == "MappingEndEvent":
                break
            line = event.start_mark.line + 1
            key = self._value(event, events, path)
            if isinstance(key, (dict, list)):
                self._note(event, "a key must be a word")
                key = None
            elif isinstance(key, str) and len(key) > MOST_NAME:  # the path of each key below it would hold it
                self._note(event, f"the key {show(key)} has {len(key)} characters, {MOST_NAME} at most")
                key = None
            where = f"{path}.{key}" if path else str(key)
            if key in found:
                self._note(event, f"{where}: the key is there twice (first on line {first[key]})")
            else:
                first[key] = self.lines[where] = line
            found[key] = self._value(next(events), events, where)
        return found

    def _sequence(self, events: Iterator[Any], path: str) -> list[object]:
        found: list[object] = []
        for event in events:
            if type(event).__name__ == "SequenceEndEvent":
                break
            found.append(self._value(event, events, path))
        return found

    def _scalar(self, event: Any) -> Scalar | None:
        if event.style is not None:  # quoted or a block: always text
            return str(event.value)
        try:
            return plain_scalar(event.value)
        except ValueError:  # more digits than Python will read
            self._note(event, f"{show(event.value)} has too many digits")
            return None

    def _note(self, event: Any, text: str) -> None:
        if len(self.problems) == MOST_TOLD:
            raise SpecInvalid([*self.problems, f"{self.source}: more is wrong: mend these first"])
        self.problems.append(f"{self.source}: {text} (line {event.start_mark.line + 1})")


_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
# Patterns are compiled when a file is first read: most programs read specs as JSON, from the store.
_INT = r"[-+]?[0-9]+"
_BASED_INT = r"0o[0-7]+|0x[0-9a-fA-F]+"
_FLOAT = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
_NO_NUMBER = r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"


def plain_scalar(text: str) -> Scalar | None:
    """What unquoted text means: the core schema, https://yaml.org/spec/1.2.2/#103-core-schema."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if re.fullmatch(_INT, text):
        return int(text)
    if re.fullmatch(_BASED_INT, text):
        return int(text, 0)
    if re.fullmatch(_FLOAT, text):
        return float(text)
    if re.fullmatch(_NO_NUMBER, text):
        return float(text.replace(".", ""))
    return text
