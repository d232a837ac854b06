"""Gangs: several slots that run one trial. Rule: a member's token opens its own row, and rank 0's the attempt's too."""

from collections.abc import Sequence

from celeriac.domain.errors import LeaseLost
from celeriac.domain.records import (
    Fault,
    GangPlace,
    Lease,
    Member,
    Peer,
    Place,
    Refusal,
    Resources,
    Round,
    RunningGang,
    Seat,
)
from celeriac.store.postgres.leases import Leases
from celeriac.store.postgres.records import placed_of, record_of
from celeriac.store.refusals import membership_lost, not_joined
from celeriac.store.sanitize import new_token, plain_text


class Gangs(Leases):
    """Verbs of members, and of the coordinator that looks after them."""

    def join_gang(
        self,
        study_id: int,
        number: int,
        attempt: int,
        *,
        worker: str,
        host: str,
        device: str,
        device_kind: str,
        address: str,
        port: int,
        lease_s: float,
    ) -> Seat | Refusal:
        token, ticket = new_token(self._key), {"study": study_id, "number": number, "attempt": attempt}
        place = {"worker": worker, "host": host, "device": device, "device_kind": device_kind}
        where = {"address": address, "port": port, "lease_s": lease_s}
        given = {**ticket, "token": token, **place, **where}
        rows = self._rows("join_gang", **given) or self._rows("joined", token=token)
        if rows := rows or self._on_device("join_placed", given):
            asked, placed = Resources.read(rows[0]["spec"].get("resources")), rows[0]["placed"]
            return Seat.of(token, rows[0]["study"], asked, placed_of(placed) if placed else None)
        # The others of a placed gang may be gathering: it is left to them, and to the reaper, to give it up.
        return self._refusal(not_joined, ticket)

    def gang_beat(self, token: str, lease_s: float, *, leaving: str = "") -> Round:
        rows = self._rows("gang_beat", token=token, lease_s=lease_s, leaving=plain_text(leaving))
        if not rows:
            raise self._member_lost(token)
        row = dict(rows[0])
        return Round(**{**row, "members": tuple(record_of(Member, each) for each in row["members"])})

    def close_round(self, token: str, least: int, most: int) -> bool:
        return bool(self._rows("close_round", token=token, least=least, most=most))

    def gang_lease(self, token: str) -> Lease:
        rows = self._rows("gang_lease", token=token)
        if not rows:
            raise self._member_lost(token)
        given = dict(rows[0])
        place = Place(given.pop("rank"), tuple(Peer(**each) for each in given.pop("peers")))
        return self._lease_of({**given, "place": place}, "gang_checkpoints")

    def end_membership(
        self, token: str, *, fault: Fault | None = None, detail: str = "", traceback: str = "", signature: str = ""
    ) -> None:
        words = {"detail": detail, "traceback": traceback, "signature": signature}
        said = {name: plain_text(text) for name, text in words.items()}
        self._rows("end_membership", token=token, fault=fault, **said)

    def give_up_gang(self, token: str, reason: str, wait_s: float) -> bool:
        return bool(self._rows("give_up_gang", token=token, reason=plain_text(reason), wait_s=wait_s))

    def give_back_members(self, worker: str, detail: str) -> list[tuple[int, str, int, int]]:
        rows = self._rows("give_back_members", worker=worker, key=self._key, detail=plain_text(detail))
        return [(row["study_id"], row["study"], row["number"], row["attempt"]) for row in rows]

    def running_gangs(self) -> list[RunningGang]:
        return self._all(RunningGang, "running_gangs")

    def ask_to_grow(self, study_id: int, number: int, attempt: int, reason: str) -> None:
        self._rows("ask_to_grow", study=study_id, number=number, attempt=attempt, reason=plain_text(reason))

    def forget_members(self, older_than_s: float) -> int:
        return len(self._rows("forget_members", older_than_s=older_than_s))

    def gang_members(self, study_id: int, number: int, attempt: int) -> Sequence[Member]:
        return self._all(Member, "gang_members", study=study_id, number=number, attempt=attempt)

    def gang_places(self, study_id: int, numbers: Sequence[int]) -> list[GangPlace]:
        return self._all(GangPlace, "gang_places", study=study_id, numbers=list(numbers))

    def _member_lost(self, token: str) -> LeaseLost:
        return membership_lost(token, self._attempt_of(token))
