"""The keys of `schedule`: when a study runs again, in which time zone, for which slices, and what happens to a firing
that is late, that meets the one before it, or that no time is left for.

Rule: a schedule that is accepted comes due some day, in a time zone that exists, for slices that can each be part of a
study's name.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from celeriac.domain.space import nearest, show
from celeriac.domain.study_file.blackout import blackouts, is_clock
from celeriac.domain.study_file.gating import flag, gate
from celeriac.domain.study_file.hook import hook
from celeriac.domain.study_file.names import study_name_flaw
from celeriac.domain.study_file.recipient import recipient
from celeriac.domain.study_file.section import Section
from celeriac.domain.study_file.slices import collisions, listed, product
from celeriac.domain.study_file.specs import LEAST_DEVICE_HOURS, ScheduleSpec, StudySpec
from celeriac.domain.study_file.timing import flaws

_KEYS = frozenset(
    {"name", "cron", "timezone", "slices", "catch_up", "overlap", "blackout", "jitter", "deadline"}
    | {"gate", "guard", "always", "hook", "warm_start", "budget", "morning"}
)
CATCH_UP = ("skip", "one", "all")
OVERLAP = ("allow", "skip", "queue", "cancel")
_TAKEN = {
    "due_at": '`trial.context["due_at"]` is the firing\'s due time',
    "local_date": '`trial.context["local_date"]` is the day of the firing\'s due time',
}


def schedule(top: Section, study: str) -> ScheduleSpec | None:
    """The schedule of a file; None where there is none. It is named like the study, unless it has a name of its own."""
    if top.get("schedule") is None:
        return None
    section = top.section("schedule", _KEYS)
    if not isinstance(top.get("schedule"), Mapping):
        return None
    given = section.get("name")
    flaw = "" if given is None else study_name_flaw(given)
    if flaw:
        section.fail("name", flaw)
    cron = _cron(section) if section.required("cron", '"0 2 * * *"') else ""
    budget = section.section("budget", {"device_hours", "device_hours_per_slice"})
    catch_up = section.word("catch_up", CATCH_UP, "one")
    return ScheduleSpec(
        name=study if given is None else str(given),
        cron=cron,
        timezone=_timezone(section),
        slices=product(section),
        listed=listed(section),
        catch_up=catch_up,
        overlap=_overlap(section, catch_up),
        blackout=blackouts(section),
        jitter_s=section.seconds("jitter") or 0.0,
        deadline=_deadline(section),
        gate=gate(section),
        always=flag(section, "always"),
        hook=hook(section),
        warm_start=flag(section, "warm_start", True),
        device_hours=budget.number("device_hours", LEAST_DEVICE_HOURS),
        device_hours_per_slice=budget.number("device_hours_per_slice", LEAST_DEVICE_HOURS),
        morning=recipient(section),
    )


def clashes(top: Section, spec: StudySpec) -> None:
    """Note what a new schedule would lose without a word: a name that names nothing, values that others hide in
    `trial.context`, slices of one name.
    """
    plan, name = spec.schedule, top.get("study")
    if plan is None:
        return
    if name is not None and str(name) != plan.name:
        text = f"{show(name)} would name nothing beside `schedule: {{name: {plan.name}}}`"
        top.fail("study", f"{text}, which names every firing: leave one of them out")
    keys = list(plan.slices) or list(plan.combinations()[0])
    for key in keys:
        if key in _TAKEN:
            top.fail(f"schedule.slices.{key}", f"is taken: {_TAKEN[key]}; choose another key")
    told = {"labels": spec.labels, "context": spec.context}
    for i, each in enumerate(plan.listed):
        told |= {f"schedule.slices.{i}.{key}": each.changes.get(key, {}) for key in ("labels", "context")}
    for path, mapping in told.items():
        for key in mapping if isinstance(mapping, Mapping) else ():
            if key in keys:
                top.fail(f"{path}.{key}", "is also a slice, whose value would hide it: rename one of them")
            elif key in _TAKEN:
                top.fail(f"{path}.{key}", f"is taken: {_TAKEN[key]}; choose another key")
    for text in collisions(plan.combinations()):
        top.fail("schedule.slices", text)


def times(top: Section, plan: ScheduleSpec) -> None:
    """Note what is wrong with a schedule's times, each sound alone, and with those of its slices."""
    own = {(plan.cron, plan.timezone): "schedule"}
    for i, each in enumerate(plan.listed):
        inner = Section(each.to_dict(), f"schedule.slices.{i}", top.problems, each.to_dict())
        before = len(top.problems.found)
        cron = plan.cron if each.cron is None else _cron(inner)
        timezone = plan.timezone if each.timezone is None else _timezone(inner)
        if len(top.problems.found) == before:
            own.setdefault((cron, timezone), inner.path)
    for (cron, timezone), path in own.items():
        for key, text in flaws(plan, cron, timezone):
            whose = "" if path == "schedule" else f" (for {path})"
            top.fail(f"schedule.{key}", text + whose)


def _overlap(section: Section, catch_up: str) -> str:
    """What happens to a firing whose slice has an open one. Firings that are caught up run one after the other."""
    overlap = section.word("overlap", OVERLAP, "queue" if catch_up == "all" else "allow")
    if catch_up == "all" and overlap in ("skip", "cancel"):
        section.fail("overlap", f"{overlap} beside `catch_up: all` would end what is being caught up: write queue")
    return overlap


def _deadline(section: Section) -> str | float | None:
    """A time of the day, or a duration from the due time on."""
    value = section.get("deadline")
    if is_clock(value):
        return str(value)
    if isinstance(value, str) and ":" in value:
        section.fail(
            "deadline", f'must be a time of the day such as "06:00", or a duration such as 4h, not {show(value)}'
        )
        return None
    return section.seconds("deadline")


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
