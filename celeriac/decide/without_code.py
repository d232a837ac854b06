"""Does no live worker have the code that a study was submitted with? Then the study pauses, and its reason says so.
Its trials are not to blame. A night does not wait for ever: its firing fails when its time is over.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from celeriac.decide.calendar import SlicePlan
from celeriac.domain.records import Firing, PutAside, StudyRecord, StudyState

NOBODY = "no live worker has the code of this study"


def without_code(study: StudyRecord, slots: Collection[str], put_asides: Sequence[PutAside]) -> str:
    """The reason to pause, or "" while a slot is left that may have the code.

    `slots` are the live ones that could run the study. What a slot said before a person last resumed the study does
    not count.
    """
    since = study.resumed_at or study.created_at
    refused = {each.worker: each.reason for each in put_asides if each.study_id == study.id and each.since > since}
    if study.state is not StudyState.RUNNING or not slots or any(slot not in refused for slot in slots):
        return ""
    reasons = sorted({refused[slot] for slot in slots})
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return (
        f"{NOBODY}: {reasons[0]}{more}; put that code back, or keep the new one; then"
        f" `celeriac resume {study.name}` goes on with what is there"
    )


def waited_in_vain(study: StudyRecord, firing: Firing, plan: SlicePlan, now: datetime) -> str:
    """The reason for which a firing fails whose stage's study is paused for missing code; "" while it may wait.

    It waits until its deadline, and without one until its slice is due next. A night that was made after that, such as
    a replayed one, waits for a person.
    """
    if study.state is not StudyState.PAUSED or not study.reason.startswith(NOBODY):
        return ""
    late = plan.deadline_at(firing.due_at)
    until = plan.next_after(firing.due_at) if late is None else late
    if now < until or firing.fired_at > until:
        return ""
    what = "its slice was due again" if late is None else "its deadline"
    lacking = study.reason.split("; ")[0].replace("this study", study.name)
    return (
        f"until {what} ({plan.local(until):%Y-%m-%d %H:%M}) {lacking}; the champion stays;"
        f" put that code back, then `celeriac reopen {study.name}` goes on with this night"
    )
