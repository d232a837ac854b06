"""Firing under the first name that is free. Rule: a firing is never left out because a stranger's study has its
name.
"""

from collections.abc import Iterable
from datetime import datetime

from celeriac.domain.errors import DuplicateStudy
from celeriac.domain.records import NewFiring, StudyRecord
from celeriac.store.api import Store


def fire(store: Store, due_at: datetime, candidates: Iterable[NewFiring]) -> StudyRecord | None:
    """Open the first candidate that can be; None when the clock's own firing was made already. Raises DuplicateStudy
    when none can be.
    """
    tried = None
    for each in candidates:
        try:
            study = store.fire(due_at, each.study, by_hand=each.by_hand, note=each.note)
        except DuplicateStudy as error:
            tried = error
            continue
        if study is not None or not each.by_hand:
            return study
    if tried is None:
        return None
    raise tried
