"""The key `resources`: what one trial asks for. Rule: what is wrong is said with the way to write it right."""

from collections.abc import Collection, Mapping
from typing import Any

from celeriac.domain.records.resources import LEAST_SHARE, MOST_MEMBERS, Resources, bytes_of
from celeriac.domain.space import is_name, show
from celeriac.domain.study_file.section import Section

_KEYS = frozenset({"gpus", "slots", "gpu_memory", "labels"})
_RANGE = frozenset({"min", "max"})
_LEAST_MEMORY = 1024**2  # less is a size whose unit was forgotten


def resources(top: Section) -> Resources:
    """What a trial asks for; a stand-in where what is wrong was noted."""
    section = top.section("resources", _KEYS)
    given, by_slots = section.get("gpus"), section.get("slots") is not None
    if by_slots and given not in (None, 0):
        section.fail("slots", "are CPU slots, and `gpus` is given too; leave one out")
    least, gpus = _range(section, "gpus") if isinstance(given, Mapping) else _gpus(section, given)
    slots = 1
    if by_slots:
        least, slots = _range(section, "slots") if isinstance(section.get("slots"), Mapping) else _whole(section)
    return Resources(gpus, slots, least, _memory(section, gpus), labels(section))


def no_slice(top: Section, asked: Resources, path: str = "resources", slices: Collection[str] = ()) -> None:
    """Note labels that are no slice's, so that no trial waits for ever."""
    for key, label in asked.labels.items():
        if label.startswith("$") and label[1:] not in slices:
            top.fail(f"{path}.labels.{key}", f"{show(label)} is the value of no slice key: write a schedule with it")


def labels(section: Section) -> dict[str, str]:
    """The key `labels`: words with text."""
    found = {}
    for key, label in (section.mapping("labels", "a mapping of words to text") or {}).items():
        if not is_name(key) or isinstance(label, bool) or not isinstance(label, (str, int)):
            section.fail(f"labels.{key}", f"must be a word with a text, not {show(label)}")
        else:
            found[str(key)] = str(label)
    return found


def _gpus(section: Section, given: Any) -> tuple[int, float]:
    """The least members, and a share of a GPU or a number of GPUs; 0 where there is none."""
    if given is None:
        return 1, 0
    if isinstance(given, bool) or not isinstance(given, (int, float)) or given != given:
        section.fail("gpus", f"must be a number, such as 1 or 0.25, or {{min: 1, max: 4}}, not {show(given)}")
    elif not 0 <= given <= MOST_MEMBERS:
        section.fail("gpus", f"must be from 0 to {MOST_MEMBERS}, not {show(given)}")
    elif 0 < given < LEAST_SHARE:
        section.fail("gpus", f"{show(given)}: a share of a GPU is {LEAST_SHARE:g} or more")
    elif given > 1 and given != int(given):
        section.fail("gpus", f"{show(given)}: above 1 they are whole GPUs; write {int(given)} or {int(given) + 1}")
    else:
        return max(int(given), 1), int(given) if given == int(given) else float(given)
    return 1, 0


def _whole(section: Section) -> tuple[int, int]:
    count = section.whole("slots", 1, MOST_MEMBERS, 1)
    return count, count


def _range(section: Section, key: str) -> tuple[int, int]:
    """The least and the most of `{min, max}`."""
    inner = section.section(key, _RANGE)
    for end in ("min", "max"):
        inner.required(end, "1")
    least, most = inner.whole("min", 1, MOST_MEMBERS, 1), inner.whole("max", 1, MOST_MEMBERS, 1)
    if inner.get("max") is not None and least > most:
        inner.fail("min", f"is {least}, and max is {most}: write the smaller one as min")
        return 1, 1
    return least, most


def _memory(section: Section, gpus: float) -> int:
    """Bytes of each GPU; 0 where nothing is said."""
    value = section.get("gpu_memory")
    if value is None:
        return 0
    size = bytes_of(value)
    if size is None:
        section.fail("gpu_memory", f"must be a size such as 6GiB, not {show(value)}")
    elif size < _LEAST_MEMORY:
        section.fail("gpu_memory", f"{show(value)} is less than 1MiB: write its unit, such as 6GiB")
    elif section.get("gpus") in (None, 0):
        section.fail("gpu_memory", "is of a GPU, and the trial asks for none: write `gpus: 1`, or a share such as 0.5")
    else:
        return size
    return 0
