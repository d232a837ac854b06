"""The key `schedule.slices`: a mapping of names to lists, of which every combination is a slice; or a list of mappings,
one a slice, each with values of its own for some of the study's keys.

Rule: a slice is named by small plain values, which can be part of a study's name, and no two have the same name. What
else a mapping holds makes its study's spec another one, and that is a whole spec, refused like any other.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from celeriac.domain.space import nearest, same, show
from celeriac.domain.study_file.section import Section
from celeriac.domain.study_file.specs import OF_A_SLICE, SliceSpec
from celeriac.domain.study_file.timing import slice_name
from celeriac.domain.study_file.yaml import Scalar

_TIMES = frozenset({"cron", "timezone"})
_TEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,59}")
_TEXT_RULE = "is letters, digits, '.', '_', '+' or '-', 60 at most"
_MOST = 1000
_LONGEST = 100  # characters that a slice adds to a study's name
_SHAPE = "must be a mapping of names to lists, such as {region: [eu, us]}, or a list of mappings, one a slice"


def product(section: Section) -> dict[str, tuple[Scalar, ...]]:
    """The values of each slice key; empty where the slices are listed, or none are given."""
    content = section.get("slices")
    if content is None or (isinstance(content, (list, tuple)) and content and isinstance(content[0], Mapping)):
        return {}
    if not isinstance(content, Mapping) or not content:
        section.fail("slices", f"{_SHAPE}, not {show(content)}")
        return {}
    slices: dict[str, tuple[Scalar, ...]] = {}
    for key, values in content.items():
        flaws = list(_key_flaws(key)) + list(_list_flaws(values))
        for text in flaws:
            section.fail(f"slices.{key}", text)
        if not flaws:
            slices[key] = tuple(values)
    too_much = list(_too_much(slices))
    for text in too_much:
        section.fail("slices", text)
    return {} if too_much else slices  # nobody makes the combinations of too many


def listed(section: Section) -> tuple[SliceSpec, ...]:
    """The slices of a list of mappings; empty where there is none."""
    content = section.get("slices")
    if not (isinstance(content, (list, tuple)) and content and isinstance(content[0], Mapping)):
        return ()
    if len(content) > _MOST:
        section.fail("slices", f"are {len(content)}; {_MOST} at most")
    found: list[SliceSpec] = []
    for i, each in enumerate(content):
        flaws = list(_mapping_flaws(each, content[0]))
        for key, text in flaws:
            section.fail(f"slices.{i}.{key}" if key else f"slices.{i}", text)
        if not flaws:
            found.append(_slice(each))
    return tuple(found)


def collisions(slices: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The slices that have the same name, which each firing's studies would fight for."""
    seen: dict[str, int] = {}
    for i, each in enumerate(slices):
        name = slice_name(each)
        if name in seen:
            yield f"{i} collides with slice {seen[name]}: both are {name}; give each another value"
        seen.setdefault(name, i)


def _slice(given: Mapping[str, Any]) -> SliceSpec:
    values = {key: value for key, value in given.items() if _names(key)}
    changes = {key: value for key, value in given.items() if key in OF_A_SLICE and value is not None}
    return SliceSpec(values, given.get("cron"), given.get("timezone"), changes)


def _names(key: object) -> bool:
    """Whether a key of a mapping is one that names its slice."""
    return key not in OF_A_SLICE | _TIMES


def _mapping_flaws(given: object, first: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with one slice of a list, which is named by the same keys as the first."""
    if not isinstance(given, Mapping):
        yield "", f"must be a mapping like the first slice, not {show(given)}"
        return
    known = OF_A_SLICE | _TIMES
    naming, wanted = [key for key in given if _names(key)], [key for key in first if _names(key)]
    if len(naming) > _LONGEST or len(wanted) > _LONGEST:
        yield "", f"is named by {max(len(naming), len(wanted))} keys, {_LONGEST} at most"
        return
    for key in given:
        if _names(key) and key not in wanted:
            yield str(key), f"names this slice and not the first: {_hint(key, {*known, *wanted})}"
        elif _names(key):
            yield from ((str(key), text) for text in _key_flaws(key))
            yield from ((str(key), _of_a_list(text, key, known)) for text in _value_flaws(given[key]))
    for key in wanted:
        if key not in given:
            yield "", f"has no {key}, which names the first slice"
    if not naming and not wanted:
        yield "", "needs a key that names the slice, such as region: eu"
    if sum(len(str(key)) + len(str(given[key])) + 2 for key in naming) > _LONGEST:
        yield "", f"makes a name of more than {_LONGEST} characters: shorten its keys or values"


def _of_a_list(text: str, key: object, known: frozenset[str]) -> str:
    hint = nearest(key, known)
    return f"{text}; {hint}" if hint.startswith("did") else text


def _hint(key: object, known: set[str]) -> str:
    hint = nearest(key, known)
    return hint if hint.startswith("did") else "name all slices by the same keys"


def _key_flaws(key: object) -> Iterator[str]:
    if not (isinstance(key, str) and _TEXT.fullmatch(key)):
        yield f"a slice key {_TEXT_RULE}, not {show(key)}"


def _list_flaws(values: object) -> Iterator[str]:
    if not isinstance(values, (list, tuple)) or not values:
        yield f"needs a list of at least one value, not {show(values)}"
        return
    if len(values) > _MOST:  # each is compared with those before it
        yield f"has {len(values)} values, {_MOST} at most"
        return
    for i, value in enumerate(values):
        flaws = list(_value_flaws(value))
        yield from flaws
        if not flaws and any(same(value, earlier) for earlier in values[:i]):
            yield f"{show(value)} is there twice"


def _value_flaws(value: object) -> Iterator[str]:
    if isinstance(value, str) and not _TEXT.fullmatch(value):
        yield f"{show(value)}: a value's text {_TEXT_RULE}"
    elif not isinstance(value, (str, int, float)) or (isinstance(value, float) and not math.isfinite(value)):
        yield f"{show(value)} is no text, number or boolean"


def _too_much(slices: Mapping[str, tuple[Scalar, ...]]) -> Iterator[str]:
    """What is wrong with slices that are sound one by one: so many, or with so long names."""
    count = math.prod(len(values) for values in slices.values())
    if count > _MOST:
        yield f"make {count} studies a firing; {_MOST} at most"
    longest = sum(len(key) + 2 + max(len(str(v)) for v in values) for key, values in slices.items())
    if longest > _LONGEST:
        yield f"make names of up to {longest} characters; {_LONGEST} at most, so shorten keys or values"
