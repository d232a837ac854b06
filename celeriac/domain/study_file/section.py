"""One mapping of a file, read key by key: `Section` types each value, `Problems` gathers what is wrong.

Rule: a reader notes what is wrong and goes on with a stand-in, so that one reading shows everything; who began the
reading raises before a stand-in can get out. Nothing is ignored: an unknown key names the nearest known one.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from celeriac.domain.errors import SpecInvalid
from celeriac.domain.space import nearest, show
from celeriac.domain.space.ranges import is_finite
from celeriac.domain.space.words import MOST_NAME
from celeriac.domain.stop_rules import SECONDS

#: So many things are told at once: whoever has made more mends those first.
MOST_TOLD = 50
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([smhd])")
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
#: A key is a name, or a few of them with dots.
_LONGEST_PATH = 5 * MOST_NAME
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_S = 3650 * 86400.0
_MOST_RESOURCE = 10**15


@dataclass(slots=True)
class Problems:
    """What is wrong so far, each led by file and key path, ended by the line where that is known."""

    source: str
    lines: Mapping[str, int]
    found: list[str] = field(default_factory=list)

    def add(self, path: str, text: str) -> None:
        """Note one thing: the line told is that of the key, or of the nearest one above it that is in the file. Raises
        SpecInvalid with the first `MOST_TOLD` where there are more.
        """
        if len(self.found) == MOST_TOLD:
            raise SpecInvalid([*self.found, f"{self.source}: more is wrong: mend these first"])
        where = path
        while where and where not in self.lines:
            where = where.rpartition(".")[0]
        line = f" (line {self.lines[where]})" if where else ""
        self.found.append(": ".join(part for part in (self.source, path, text) if part) + line)

    def raise_any(self) -> None:
        """Raise SpecInvalid with all that was noted, if anything was."""
        if self.found:
            raise SpecInvalid(self.found)


class Section:
    """One mapping of the file, by key path: typed reads of its keys, each of which notes what is wrong with the value.

    A read returns its default where there is no value, and a stand-in where the value is wrong. What is no mapping, and
    a key that is not in `known`, are noted when the section is opened.
    """

    def __init__(self, content: object, path: str, problems: Problems, known: Iterable[str]) -> None:
        self.path, self.problems = path, problems
        self.content: Mapping[Any, Any] = content if isinstance(content, Mapping) else {}
        known = frozenset(known)
        if content is not None and not isinstance(content, Mapping):
            problems.add(path, f"must be a mapping with {', '.join(sorted(known))}, not {show(content)}")
        for key in self.content:
            if key not in known:
                self.fail(key, f"is not known here; {nearest(key, known)}")

    def fail(self, key: object, text: str) -> None:
        """Note what is wrong with the value of a key."""
        name = str(key) if len(str(key)) <= _LONGEST_PATH else f"{str(key)[:MOST_NAME]}…"
        self.problems.add(f"{self.path}.{name}" if self.path else name, text)

    def get(self, key: str) -> Any:
        """The raw value; a key without a value is one that is not there."""
        return self.content.get(key)

    def section(self, key: str, known: Iterable[str]) -> "Section":
        """The mapping in a key; an empty one where there is none."""
        path = f"{self.path}.{key}" if self.path else key
        return Section(self.get(key), path, self.problems, known)

    def required(self, key: str, example: str) -> bool:
        """Whether a key has a value; noted, with an example of one, when it has none."""
        if self.get(key) is None:
            self.fail(key, f"is missing; write it, such as `{key}: {example}`")
        return self.get(key) is not None

    def mapping(self, key: str, what: str) -> Mapping[Any, Any] | None:
        """What is in a key, unopened; None where there is none, or something else that is not `what`, a mapping."""
        value = self.get(key)
        if value is None or isinstance(value, Mapping):
            return value
        self.fail(key, f"must be {what}, not {show(value)}")
        return None

    def text(self, key: str, default: str) -> str:
        """Text on one line."""
        value = self.get(key)
        if value is None:
            return default
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            self.fail(key, f"must be text on one line, not {show(value)}")
            return default
        return value

    def address(self, key: str) -> str:
        """An address of the web; "" where there is none."""
        url = self.text(key, "")
        if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            self.fail(key, f"{show(url)} is no address that begins with http:// or https://")
        return url

    def variable(self, key: str) -> str:
        """The name of an environment variable; "" where there is none."""
        name = self.text(key, "")
        if name and not _VARIABLE.fullmatch(name):
            self.fail(key, f"{show(name)} is no name of an environment variable: name the one that holds it")
        return name

    def word(self, key: str, known: Iterable[str], default: str) -> str:
        """One of the known words."""
        value = self.get(key)
        if value is None or value in tuple(known):
            return default if value is None else str(value)
        self.fail(key, f"cannot be {show(value)}; {nearest(value, known)}")
        return default

    def whole(self, key: str, low: int, high: int, default: int) -> int:
        """A whole number from `low` to `high`."""
        return self._whole(key, self.get(key), low, high, default)

    def amount(self, key: str, low: int, default: int, *, of: str) -> int:
        """A whole number of a resource, at least `low`; of seconds also as a time such as 10m."""
        value = self.get(key)
        seconds = seconds_of(value) if of == SECONDS and isinstance(value, str) else None
        return self._whole(key, value if seconds is None else seconds, low, _MOST_RESOURCE, default)

    def _whole(self, key: str, value: object, low: int, high: int, default: int) -> int:
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
            self.fail(key, f"must be a whole number, not {show(value)}")
        elif not low <= value <= high:
            self.fail(key, f"must be from {low} to {high}, not {show(value)}")
        else:
            return int(value)
        return default

    def number(self, key: str, low: float = -math.inf) -> float | None:
        """A finite number of at least `low`, or None where there is none."""
        value = self.get(key)
        if value is None:
            return None
        if not is_finite(value):
            self.fail(key, f"must be a number, not {show(value)}")
        elif value < low:
            self.fail(key, f"must be {low:g} or more, not {show(value)}")
        else:
            return float(value)
        return None

    def seconds(self, key: str) -> float | None:
        """A time in seconds, written as a number of them or as 30s, 10m, 2h, 1d; None where there is none."""
        value = self.get(key)
        if value is None:
            return None
        seconds = seconds_of(value)
        if seconds is None:
            self.fail(key, f"must be a time such as 30s, 10m, 2h, 1d or a number of seconds, not {show(value)}")
        elif not 0 < seconds <= _LONGEST_S:
            self.fail(key, f"must be above 0 and at most 3650d, not {show(value)}")
        else:
            return seconds
        return None


def seconds_of(value: object) -> float | None:
    """A duration in seconds: of a number of them, or of text such as `30d` or `1.5h`; None for what is none."""
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        return float(found[1]) * _UNIT_S[found[2]] if found else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return None
    return float(value) if abs(value) < _LONGEST_S * 2 else math.inf
