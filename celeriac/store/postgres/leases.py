"""Having a lease: lease, begin, renew. Rule: a ticket becomes one lease or a refusal, and a lease lives on by its
token only.

The token is the fence: the open attempt's row, found by it, is what gives a worker's write its right. The statements of
a worker are hot: each is one round trip and one commit, a chain of common table expressions in which every step reads
from the one before, so that Postgres runs, and locks, in the order written: study, trial, attempt. A step whose row was
changed by somebody in between checks its WHERE again on the new row (READ COMMITTED), so each is a compare-and-set. A
chain that breaks returns no row; why, is asked after.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celeriac.domain.records import Checkpoint, Fault, Lease, MemoryFault, Params, Refusal, Source
from celeriac.domain.space import MOST_PARAMETERS
from celeriac.domain.study_file import run_plan
from celeriac.store.connection import Row, Session
from celeriac.store.postgres.records import record_of
from celeriac.store.postgres.verbs import Verbs, ask
from celeriac.store.refusals import TicketFound, refused, unknown_study, unknown_trial
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
        rows = self._rows("lease", **given) or self._rows("leased", token=token)
        rows = rows or self._on_device("lease_placed", given)
        if not rows:
            return self._refusal(refused, ticket, device)
        return self._lease_of({**rows[0], "number": number, "attempt": attempt})

    def learn_space(self, token: str, params: Params, forms: Mapping[str, Mapping[str, Any]]) -> None:
        if not self._rows("learn_space", token=token, params=dict(params), forms=dict(forms), most=MOST_PARAMETERS):
            raise self._lost(token)

    def begin(self, token: str, *, fingerprint: str, resumed_step: int | None, log_path: str) -> None:
        given = {"fingerprint": fingerprint, "resumed_step": resumed_step, "log_path": log_path}
        if not self._rows("begin", token=token, **given):
            raise self._lost(token)

    def renew(self, token: str, lease_s: float, *, log_tail: str | None = None) -> str:
        rows = self._rows("renew", token=token, lease_s=lease_s, log_tail=log_tail)
        if not rows:
            raise self._lost(token)
        return str(rows[0]["preempt_reason"])

    def _lease_of(self, row: Row, checkpoints: str = "own_checkpoints") -> Lease:
        """The lease that a row is, with the trial's checkpoints, by this statement, and its faults of memory: these
        are read only where there may be any.
        """
        given, token = dict(row), row["token"]
        kept = self._all(Checkpoint, checkpoints, token=token) if given["attempt"] > 1 else []
        if given["source"] == Source.PBT:
            kept += self._all(Checkpoint, "inherited_checkpoint", token=token)
        short = Fault.OUT_OF_MEMORY in given["faults"]
        faults = self._all(MemoryFault, "memory_faults", token=token) if short else ()
        plan = run_plan(given.pop("spec"), given.pop("stage"))
        return record_of(Lease, {**given, "plan": plan, "checkpoints": kept, "memory_faults": faults})

    def _on_device(self, name: str, given: Mapping[str, Any]) -> Sequence[Row]:
        """The rows of a statement for a trial that was placed on this device. The device's row is locked first, by a
        statement of its own: what the next one counts is then as all before it left it.
        """

        def run(connection: Session) -> Sequence[Row]:
            ask(connection, "lock_device", device=given["device"])
            return ask(connection, name, **given)

        return self._db.transaction(run)

    def _refusal(self, why: Callable[[TicketFound], Refusal], ticket: Mapping[str, int], device: str = "") -> Refusal:
        """Why this ticket came to nothing, in the words of `why`; raises UnknownStudy and UnknownTrial."""
        rows = self._rows("refuse", **ticket, device=device)
        if not rows:
            raise unknown_study(ticket["study"], ())
        if rows[0]["number"] is None:
            raise unknown_trial(ticket["study"], ticket["number"])
        return why(TicketFound(**rows[0], attempt=ticket["attempt"]))
