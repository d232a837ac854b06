"""A morning as text: what to look at first, then each slice."""

from collections.abc import Iterator
from datetime import datetime

from celeriac.domain.records import FiringState
from celeriac.report.morning.night import Morning, ServedChampion, SliceMorning, Test, slice_text
from celeriac.report.words import counted, number, span, value_text


def lines(morning: Morning) -> Iterator[str]:
    """All of it, a line each."""
    yield f"{morning.schedule}, night {morning.night}: {outcome(morning)}"
    yield cost(morning)
    if morning.attention:
        yield "\nLook at:"
        for note in morning.attention:
            yield f"  {slice_text(note.slice)}: {note.kind}: {note.what}"
            yield f"      {note.command}"
    for each in morning.slices:
        yield f"\n{slice_text(each.slice)}: {each.state}"
        yield from (f"  {name:<9} {told}" for name, told in of_slice(each) if told)


def outcome(morning: Morning) -> str:
    """`2 promoted, 1 kept`, and whether the night is over."""
    order = [str(each) for each in FiringState]
    told = ", ".join(f"{morning.states[each]} {each.lower()}" for each in order if each in morning.states)
    ends = [each.ended_at for each in morning.slices if each.ended_at]
    if morning.is_over:
        return f"{told}; over at {clock(max(ends))}" if ends else told
    coming = f"; {counted(len(morning.to_come), 'slice')} to come" if morning.to_come else ""
    wait = "waits" if morning.waits == 1 else "wait"
    waits = f"; {counted(morning.waits, 'slice')} {wait} for a person" if morning.waits else ""
    return f"{told}; not over yet{coming}{waits}"


def cost(morning: Morning) -> str:
    """What the night cost and saved."""
    saved = f", {span(morning.saved_s)} saved by searching less" if morning.saved_s else ""
    spared = sum(each.spared.device_s for each in morning.slices)
    early = f", {span(spared)} spared by early stopping" if spared else ""
    faults = f"; {faults_text(morning.faults)}" if morning.faults else "; no faults"
    return f"{counted(morning.trials, 'trial')}, {span(morning.used_s)} of device time{saved}{early}{faults}"


def of_slice(each: SliceMorning) -> Iterator[tuple[str, str]]:
    """What there is to say of a slice, (what, told) each."""
    yield "champion", champion(each)
    yield (
        "changed",
        ", ".join(f"{name} {_or_none(old)} -> {_or_none(new)}" for name, (old, new) in each.changed.items()),
    )
    yield "gain", "" if each.test is None else gain(each.test)
    yield "why", each.reason
    yield "spent", spent(each)
    yield "faults", faults_text(each.faults)
    yield "deadline", deadline(each)


def champion(each: SliceMorning) -> str:
    """Who served before and who serves after."""
    if each.after is None:
        return "none yet"
    if each.before is None:
        return f"{served(each.after)}, the slice's first"
    if each.before.id == each.after.id:
        return f"{served(each.after)}, as before"
    return f"{served(each.before)} -> {served(each.after)}"


def served(held: ServedChampion) -> str:
    """`trial 3 of flights/…`, and whose decision it was, where it was a person's."""
    by = "" if held.kind == "night" else f" ({held.kind}{f', {held.who}' if held.who else ''})"
    return f"trial {held.trial} of {held.study}{by}"


def gain(test: Test) -> str:
    """The gain with its interval, and how sure that is."""
    between = "" if test.interval is None else f" ({number(test.interval[0], 4)} to {number(test.interval[1], 4)})"
    covers = "seeds and hold-out" if test.covers_holdout else "seeds, not the hold-out's own noise"
    scores = f"{number(test.before)} -> {number(test.after)}"
    sure = f"p {test.p:.3g} of {test.level:.3g} allowed, {counted(test.pairs, 'pair')}; covers {covers}"
    return f"{number(test.gain, 4)}{between}: {scores}, {sure}"


def spent(each: SliceMorning) -> str:
    """Trials and device time by stage, and what was saved."""
    stages = ", ".join(f"{stage} {counted(count, 'trial')}" for stage, count in each.trials.items()) or "no trial"
    parts = [stages, f"{span(each.used_s)} of device time"]
    if each.saved_s:
        parts.append(f"{span(each.saved_s)} saved")
    if each.saved_s is None:
        parts.append("saved: not known, no earlier night searched in full")
    if each.spared.device_s:
        parts.append(f"{span(each.spared.device_s)} spared by early stopping")
    return "; ".join(parts)


def deadline(each: SliceMorning) -> str:
    """How the slice stands to its deadline."""
    if each.deadline_at is None or not each.deadline:  # made up for later: nobody waited for it
        return ""
    margin = span(abs(each.margin_s or 0.0))
    how = {
        "met": f"met, {margin} before",
        "late": f"late by {margin}",
        "missed": "its firing was never made, or its successor took its place",
        "ahead": f"in {margin}",
        "passed": f"passed {margin} ago, and it is still at it",
    }
    return f"{clock(each.deadline_at)}: {how[each.deadline]}"


def faults_text(faults: object) -> str:
    """`3 faults: 2 infrastructure, 1 timeout`."""
    found = dict(faults) if isinstance(faults, dict) else {}
    told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(found.items()))
    return f"{counted(sum(found.values()), 'fault')}: {told}" if found else ""


def clock(at: datetime) -> str:
    """A moment in the reader's own zone, to the minute."""
    return f"{at.astimezone():%Y-%m-%d %H:%M %Z}"


def _or_none(value: object) -> str:
    return "none" if value is None else value_text(value)
