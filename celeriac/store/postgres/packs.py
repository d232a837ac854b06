"""Packs: several leases for one process. Rule: each trial's own token opens its attempt, and nothing else does."""

from collections.abc import Mapping, Sequence

from celeriac.domain.records import Lease, PackCandidate, PackChoices, PackLimit
from celeriac.store.postgres.leases import Leases
from celeriac.store.sanitize import new_token


class Packs(Leases):
    """Verbs of a worker whose process runs several trials, and of the coordinator that counts such processes."""

    def pack_choices(self, token: str, most: int) -> PackChoices:
        rows = self._rows("pack_choices", token=token, most=most)
        if not rows or not rows[0]["leads"]:
            raise self._lost(token)
        lead, *others = (PackCandidate(row["number"], row["params"], row["step"], short=row["short"]) for row in rows)
        limits = self._all(PackLimit, "pack_limits", token=token)
        return PackChoices(lead, tuple(others), tuple(limits))

    def lease_along(self, token: str, numbers: Sequence[int]) -> list[Lease]:
        """The tokens are made here, so that a repeat after a broken connection finds its own leases."""
        tokens = [new_token(self._key) for _ in numbers]
        self._rows("lease_along", token=token, numbers=list(numbers), tokens=tokens)
        rows = map(dict, self._rows("leased_along", tokens=tokens))
        return [self._lease_of({"number": row.pop("trial"), **row}) for row in rows]

    def renew_pack(self, tokens: Sequence[str], lease_s: float) -> Mapping[str, str]:
        rows = self._rows("renew_pack", tokens=list(tokens), lease_s=lease_s)
        return {row["token"]: row["preempt_reason"] for row in rows}

    def running_packs(self, studies: Sequence[int]) -> Mapping[int, int]:
        return {row["study_id"]: row["packs"] for row in self._rows("running_packs", studies=list(studies))}
