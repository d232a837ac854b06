"""Having a lease: lease, begin, renew. Rule: a ticket becomes one lease or a refusal, and a lease lives on by its
token only.
"""

from celeriac.domain.lifecycle import TRIAL_TRANSITIONS, TrialEvent, sources
from celeriac.domain.records import Lease, Refusal, Source, StudyState
from celeriac.store.connection import Database, Row
from celeriac.store.postgres.fence import lost
from celeriac.store.postgres.functions import call
from celeriac.store.postgres.rows import checkpoint_record
from celeriac.store.values import (
    new_token,
    plain_text,
    stale_ticket,
    study_waits,
    too_many,
    unknown_study,
    unknown_trial,
)

LEASE = call("lease")
LEASED = call("leased")
REFUSE = call("refuse")
BEGIN = call("begin")
RENEW = call("renew")
CHECKPOINTS = call("own_checkpoints")


class Leases:
    """Verbs of the worker before its trial ends, but for reports."""

    _db: Database
    _key: str

    def lease(
        self,
        study_id: int,
        number: int,
        attempt: int,
        *,
        worker: str,
        device: str,
        device_kind: str = "",
        lease_s: float,
    ) -> Lease | Refusal:
        """See `Store.lease`. The token is made here, so that a repeat after a broken connection finds its own lease."""
        token = new_token(self._key)
        ticket = {"study": study_id, "number": number, "attempt": attempt}
        row = self._db.row(
            LEASE,
            **ticket,
            token=token,
            worker=worker,
            device=device,
            device_kind=plain_text(device_kind),
            lease_s=float(lease_s),
        ) or self._db.row(LEASED, token=token)
        if row is None:
            return _refusal(self._db.row(REFUSE, **ticket), **ticket)
        kept = self._db.rows(CHECKPOINTS, token=token) if attempt > 1 else ()
        given = {**row, "source": Source(row["source"])}
        checkpoints = tuple(checkpoint_record(each) for each in kept)
        return Lease(**given, number=number, attempt=attempt, checkpoints=checkpoints)

    def begin(self, token: str, *, fingerprint: str, resumed_step: int | None, log_path: str) -> None:
        """See `Store.begin`."""
        noted = self._db.rows(
            BEGIN,
            token=token,
            fingerprint=plain_text(fingerprint),
            resumed_step=resumed_step,
            log_path=plain_text(log_path),
        )
        if not noted:
            raise lost(self._db, token)

    def renew(self, token: str, lease_s: float, *, log_tail: str | None = None) -> None:
        """See `Store.renew`."""
        tail = None if log_tail is None else plain_text(log_tail)
        if not self._db.rows(RENEW, token=token, lease_s=float(lease_s), log_tail=tail):
            raise lost(self._db, token)


def _refusal(found: Row | None, *, study: int, number: int, attempt: int) -> Refusal:
    """Why this ticket became no lease; raises UnknownStudy and UnknownTrial."""
    if found is None:
        raise unknown_study(study, ())
    if found["number"] is None:
        raise unknown_trial(study, number)
    if found["attempts"] != attempt - 1 or found["state"] not in sources(TRIAL_TRANSITIONS, TrialEvent.LEASE):
        return stale_ticket(found["name"], number, found["state"], found["attempts"])
    if found["study_state"] != StudyState.RUNNING:
        return study_waits(found["name"], found["study_state"])
    return too_many(found["name"], found["running"])
