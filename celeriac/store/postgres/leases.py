"""Having a lease: lease, begin, renew. Rule: a ticket becomes one lease or a refusal, and a lease lives on by its
token only.

The token is the fence: the open attempt's row, found by it, is what gives a worker's write its right. The statements of
a worker are hot: each is one round trip and one commit, a chain of common table expressions in which every step reads
from the one before, so that Postgres runs, and locks, in the order written: study, trial, attempt. A step whose row was
changed by somebody in between checks its WHERE again on the new row (READ COMMITTED), so each is a compare-and-set. A
chain that breaks returns no row; why, is asked after.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from celeriac.domain.records import Checkpoint, Fault, Lease, MemoryFault, Params, Refusal, Source
from celeriac.domain.space import MOST_PARAMETERS
from celeriac.domain.study_file import run_plan
from celeriac.store.connection import Row, Session
from celeriac.store.postgres.records import record_of
from celeriac.store.postgres.verbs import Verbs, ask
from celeriac.store.refusals import refused, unknown_study, unknown_trial
from celeriac.store.sanitize import new_token


class Leases(Verbs):
    """Verbs of the worker before its trial ends, but for reports."""

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
        token, ticket = new_token(self._key), {"study": study_id, "number": number, "attempt": attempt}
        place = {"worker": worker, "device": device, "device_kind": device_kind}
        given = {**ticket, **place, "token": token, "lease_s": lease_s}
        rows = self._rows("lease", **given) or self._rows("leased", token=token) or self._lease_placed(given)
        if not rows:
            return _refusal(self._rows("refuse", **ticket, device=device), **ticket)
        kept = self._all(Checkpoint, "own_checkpoints", token=token) if attempt > 1 else []
        if rows[0]["source"] == Source.PBT:
            kept += self._all(Checkpoint, "inherited_checkpoint", token=token)
        short = Fault.OUT_OF_MEMORY in rows[0]["faults"]
        faults = self._all(MemoryFault, "memory_faults", token=token) if short else ()
        found = {**rows[0], "number": number, "attempt": attempt, "checkpoints": kept, "memory_faults": faults}
        plan = run_plan(found.pop("spec"), found.pop("stage"))
        return record_of(Lease, {**found, "plan": plan})

    def learn_space(self, token: str, params: Params, forms: Mapping[str, Mapping[str, Any]]) -> None:
        if not self._rows("learn_space", token=token, params=dict(params), forms=dict(forms), most=MOST_PARAMETERS):
            raise self._lost(token)

    def _lease_placed(self, given: Mapping[str, Any]) -> Sequence[Row]:
        """The lease of a trial that was placed here. The device's row is locked first, by a statement of its own: what
        the next one counts is then as all leases before it left it.
        """

        def lease(connection: Session) -> Sequence[Row]:
            ask(connection, "lock_device", device=given["device"])
            return ask(connection, "lease_placed", **given)

        return self._db.transaction(lease)

    def begin(self, token: str, *, fingerprint: str, resumed_step: int | None, log_path: str) -> None:
        given = {"fingerprint": fingerprint, "resumed_step": resumed_step, "log_path": log_path}
        if not self._rows("begin", token=token, **given):
            raise self._lost(token)

    def renew(self, token: str, lease_s: float, *, log_tail: str | None = None) -> str:
        rows = self._rows("renew", token=token, lease_s=lease_s, log_tail=log_tail)
        if not rows:
            raise self._lost(token)
        return str(rows[0]["preempt_reason"])


def _refusal(rows: Sequence[Row], *, study: int, number: int, attempt: int) -> Refusal:
    """Why this ticket became no lease; raises UnknownStudy and UnknownTrial."""
    if not rows:
        raise unknown_study(study, ())
    if rows[0]["number"] is None:
        raise unknown_trial(study, number)
    return refused(**rows[0], attempt=attempt)
