"""The keys of `schedule`: when a study runs again, in which time zone, and for which slices.

Rule: a schedule that is accepted comes due some day, in a time zone that exists, for slices that can each be part of a
study's name.
"""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from celeriac.domain.space import nearest, same, show
from celeriac.domain.study_file.gating import flag, gate
from celeriac.domain.study_file.names import study_name_flaw
from celeriac.domain.study_file.section import Section
from celeriac.domain.study_file.specs import ScheduleSpec, StudySpec
from celeriac.domain.study_file.yaml import Scalar

_KEYS = frozenset({"name", "cron", "timezone", "slices", "gate", "guard", "always"})
_LATER_KEYS = frozenset({"warm_start", "catch_up", "overlap", "deadline"})
_SLICE_TEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,59}")
_SLICE_TEXT_RULE = "is letters, digits, '.', '_', '+' or '-', 60 at most"
_MOST_SLICES = 1000
_DUE_AT = "due_at"
_DUE_AT_IS = '`trial.context["due_at"]` is the firing\'s due time'
_LONGEST_SLICE = 100  # characters that it adds to a study's name


def schedule(top: Section, study: str) -> ScheduleSpec | None:
    """The schedule of a file; None where there is none. It is named like the study, unless it has a name of its own."""
    if top.get("schedule") is None:
        return None
    section = top.section("schedule", _KEYS, _LATER_KEYS)
    if not isinstance(top.get("schedule"), Mapping):
        return None
    given = section.get("name")
    flaw = "" if given is None else study_name_flaw(given)
    if flaw:
        section.fail("name", flaw)
    cron = _cron(section) if section.required("cron", '"0 2 * * *"') else ""
    return ScheduleSpec(
        study if given is None else str(given),
        cron,
        _timezone(section),
        _slices(section),
        gate=gate(section),
        always=flag(section, "always"),
    )


def clashes(top: Section, spec: StudySpec) -> None:
    """Note what a new schedule would lose without a word: a name that names nothing, and values that others hide in
    `trial.context`.
    """
    plan, name = spec.schedule, top.get("study")
    if plan is None:
        return
    if name is not None and str(name) != plan.name:
        text = f"{show(name)} would name nothing beside `schedule: {{name: {plan.name}}}`"
        top.fail("study", f"{text}, which names every firing: leave one of them out")
    for key in plan.slices:
        if key == _DUE_AT:
            top.fail(f"schedule.slices.{key}", f"is taken: {_DUE_AT_IS}; choose another key")
    for key in spec.labels:
        if key in plan.slices:
            top.fail(f"labels.{key}", "is also a slice, whose value would hide it: rename one of them")
        elif key == _DUE_AT:
            top.fail(f"labels.{key}", f"is taken: {_DUE_AT_IS}; choose another key")


def _cron(section: Section) -> str:
    """Five cron fields that do come due at some time."""
    from cronsim import CronSim, CronSimError  # only schedules pay for it

    fields = str(section.get("cron")).split()
    cron = " ".join(fields)
    if len(fields) != 5:
        section.fail("cron", f"needs five fields (minute hour day month weekday), not {show(cron)}")
        return cron
    try:
        next(CronSim(cron, datetime(2026, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        section.fail("cron", f"{show(cron)}: {str(error).lower()}")
    except StopIteration:
        section.fail("cron", f"{show(cron)} never comes due")
    return cron


def _timezone(section: Section) -> str:
    """A name of the IANA time zone database; UTC if none is given."""
    import zoneinfo  # reads files; only schedules pay for it

    name = section.text("timezone", "UTC")
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        # CEST is near EST in letters only.
        close = "" if name.isupper() else nearest(name, zoneinfo.available_timezones())
        hint = close if close.startswith("did") else "write an IANA name such as Europe/Berlin or UTC"
        section.fail("timezone", f"there is no time zone {show(name)}; {hint}")
    return name


def _slices(section: Section) -> dict[str, tuple[Scalar, ...]]:
    """The values of each slice key; small and plain enough that every combination can be part of a study's name."""
    content = section.get("slices")
    if content is None:
        return {}
    if not isinstance(content, Mapping) or not content:
        section.fail(
            "slices", f"must be a mapping of names to lists, such as {{region: [eu, us]}}, not {show(content)}"
        )
        return {}
    slices: dict[str, tuple[Scalar, ...]] = {}
    for key, values in content.items():
        flaws = list(_slice_flaws(key, values))
        for text in flaws:
            section.fail(f"slices.{key}", text)
        if not flaws:
            slices[key] = tuple(values)
    for text in _too_much(slices):
        section.fail("slices", text)
    return slices


def _too_much(slices: Mapping[str, tuple[Scalar, ...]]) -> Iterator[str]:
    """What is wrong with slices that are sound one by one: so many, or with so long names."""
    count = math.prod(len(values) for values in slices.values())
    if count > _MOST_SLICES:
        yield f"make {count} studies a firing; {_MOST_SLICES} at most"
    longest = sum(len(key) + 2 + max(len(str(v)) for v in values) for key, values in slices.items())
    if longest > _LONGEST_SLICE:
        yield f"make names of up to {longest} characters; {_LONGEST_SLICE} at most, so shorten keys or values"


def _slice_flaws(key: object, values: object) -> Iterator[str]:
    if not (isinstance(key, str) and _SLICE_TEXT.fullmatch(key)):
        yield f"a slice key {_SLICE_TEXT_RULE}, not {show(key)}"
    if not isinstance(values, (list, tuple)) or not values:
        yield f"needs a list of at least one value, not {show(values)}"
        return
    for i, value in enumerate(values):
        if isinstance(value, str) and not _SLICE_TEXT.fullmatch(value):
            yield f"{show(value)}: a value's text {_SLICE_TEXT_RULE}"
        elif not isinstance(value, (str, int, float)) or (isinstance(value, float) and not math.isfinite(value)):
            yield f"{show(value)} is no text, number or boolean"
        elif any(same(value, earlier) for earlier in values[:i]):
            yield f"{show(value)} is there twice"
