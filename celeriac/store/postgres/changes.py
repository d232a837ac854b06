"""What a person may change in a study that is there: a larger budget, failed trials once more, its end. Rule: as for
all studies' rows, the study's is locked first, then its trials'.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from celeriac.domain.lifecycle import STUDY_TRANSITIONS, TRIAL_TRANSITIONS, StudyEvent, TrialEvent, moved
from celeriac.domain.records import CLOSED, StudyRecord, TrialRecord, TrialState
from celeriac.store.connection import Session, fetch
from celeriac.store.postgres.records import record_of
from celeriac.store.postgres.statements import statement
from celeriac.store.postgres.studies import moved_row
from celeriac.store.postgres.verbs import Verbs, ask, locked
from celeriac.store.refusals import checked_budget, not_deletable, unknown_trial

#: What hangs on attempts: any number of rows, so it goes portion by portion; a study that lost only these is whole.
_LEAVES = ("report", "attempt_log", "rung", "checkpoint", "gang_member")
_REST = {"attempt": "study_id", "trial": "study_id", "champion": "study_id", "study": "id"}


class Changes(Verbs):
    """Verbs of a person who wants more of a study, or no more of it."""

    def extend_study(self, study_id: int, budget: Mapping[str, Any], reason: str) -> StudyRecord:
        def extend(connection: Session) -> StudyRecord:
            before = locked(connection, study_id)
            state = moved(STUDY_TRANSITIONS, before.state, StudyEvent.EXTEND, thing=f"study {before.name}")
            ask(connection, "extend_study", study=study_id, spec=checked_budget(before, budget))
            said = reason if before.state in CLOSED else before.reason
            return moved_row(connection, before, state, StudyEvent.EXTEND, said)

        return self._db.transaction(extend)

    def retry_trials(self, study_id: int, numbers: Sequence[int] | None, reason: str) -> list[TrialRecord]:
        def rerun(connection: Session) -> list[TrialRecord]:
            before = locked(connection, study_id)
            wanted = None if numbers is None else sorted(set(numbers))
            found = ask(connection, "lock_to_rerun", study=study_id, numbers=wanted)
            known = {row["number"]: TrialState(row["state"]) for row in found}
            for number in wanted or ():
                if number not in known:
                    raise unknown_trial(study_id, number)
            for number, state in known.items():
                moved(TRIAL_TRANSITIONS, state, TrialEvent.RERUN, thing=f"trial {number} of study {before.name}")
            if not known:
                return []
            rows = ask(connection, "rerun", study=study_id, numbers=list(known))
            ask(connection, "renumber", study=study_id)
            ask(connection, "renumbered", study=study_id)
            after = STUDY_TRANSITIONS[before.state].get(StudyEvent.REOPEN, before.state)
            said = reason if before.state in CLOSED else before.reason
            moved_row(connection, before, after, StudyEvent.REOPEN, said)
            return [record_of(TrialRecord, row) for row in rows]

        return self._db.transaction(rerun)

    def delete_study(self, study_id: int) -> None:
        leaves = [statement("drop_portion", table=table) for table in _LEAVES]
        rest = [statement("drop_rows", table=table, column=column) for table, column in _REST.items()]

        def check(connection: Session) -> None:
            study = locked(connection, study_id)
            promoted = ask(connection, "promoted", study=study_id)
            if error := not_deletable(study, promoted[0]["trial"] if promoted else None):
                raise error

        def drop(connection: Session) -> None:
            check(connection)
            firing_id = locked(connection, study_id).firing_id
            for each in (*leaves, *rest):
                fetch(connection, each, study=study_id)
            ask(connection, "drop_firing", firing=firing_id)

        self._db.transaction(check)
        for each in leaves:
            while self._db.rows(each, study=study_id)[0]["gone"]:
                pass
        self._db.transaction(drop)
