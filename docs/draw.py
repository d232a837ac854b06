"""Draws docs/reference/lifecycle.md from the tables in `celeriac.domain.lifecycle`: `make docs`. A test fails when the
page is not what the tables say.
"""

import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from celeriac.domain.lifecycle import ATTEMPT_TRANSITIONS, FIRING_TRANSITIONS, STUDY_TRANSITIONS, TRIAL_TRANSITIONS
from celeriac.domain.records import CLOSED, ENDED, WORKING

PAGE = Path(__file__).parent / "reference" / "lifecycle.md"


def diagram(table: Mapping[Any, Mapping[Any, Any]], start: str, ends: Collection[Any]) -> str:
    """A Mermaid state diagram; edges between the same two states are one, with all their events. From an end only a
    person leads on.
    """
    edges: dict[tuple[str, str], list[str]] = {}
    for state, events in table.items():
        for event, after in events.items():
            edges.setdefault((str(state), str(after)), []).append(str(event))
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {start}"]
    lines += [f"    {before} --> {after}: {', '.join(events)}" for (before, after), events in edges.items()]
    lines += [f"    {state} --> [*]" for state in table if state in ends]
    return "\n".join([*lines, "```"])


def page() -> str:
    """The whole page."""
    attempt = {
        "open": ATTEMPT_TRANSITIONS[None],
        **{str(outcome): {} for outcome in ATTEMPT_TRANSITIONS[None].values()},
    }
    parts = [
        "# Lifecycles",
        (
            "Drawn by `make docs` from the tables in `celeriac/domain/lifecycle.py`; nothing else in Celeriac changes a"
            " state."
        ),
        "## Trial",
        diagram(TRIAL_TRANSITIONS, "WAITING", ENDED),
        "## Study",
        diagram(STUDY_TRANSITIONS, "OPEN", CLOSED),
        "## Firing",
        "One slice of a schedule, one night. The events with `again` and `approve` are a person's.",
        diagram(FIRING_TRANSITIONS, "DUE", set(FIRING_TRANSITIONS) - set(WORKING)),
        "## Attempt",
        diagram(attempt, "open", set(attempt) - {"open"}),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"drew {PAGE.name}\n")
