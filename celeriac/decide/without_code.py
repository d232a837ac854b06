"""Does no live worker have the code that a study was submitted with? Then the study pauses, and its reason says so.
Its trials are not to blame.
"""

from collections.abc import Collection, Sequence

from celeriac.domain.records import PutAside, StudyRecord, StudyState


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
        f"no live worker has the code of this study: {reasons[0]}{more}; put that code back, or keep the new one; then"
        f" `celeriac resume {study.name}` goes on with what is there"
    )
