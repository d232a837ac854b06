"""When each slice of a schedule is due, whatever of it a caller gave. Rule: every slice has one row, also the one empty
slice of a schedule without slices.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from celeriac.domain.records import Schedule, SliceDue


def slice_key(slice_: Mapping[str, Any]) -> str:
    """A slice as something that can be compared, whatever the order of its keys."""
    return json.dumps(dict(slice_), sort_keys=True)


def all_dues(schedule: Schedule, dues: Sequence[SliceDue]) -> list[SliceDue]:
    """One for each slice, in their order: the given one, else `schedule.next_due_at`."""
    given = {slice_key(each.slice): each for each in dues}
    wanted = {slice_key(each): each for each in schedule.slices or ({},)}
    return [given.get(key) or SliceDue(schedule.name, each, schedule.next_due_at) for key, each in wanted.items()]
