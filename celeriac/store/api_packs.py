"""The store's contract for packs: a part of `celeriac.store.api.Store`, whose rules hold here too.

The leader of a pack is leased as any trial is. It takes others along, each under a token of its own, which is the fence
for all that is written of that trial: a pack's trials end one by one, as if each ran alone.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from celeriac.domain.records import Lease, PackChoices


class PackStore(Protocol):
    """What packs need of the store."""

    def pack_choices(self, token: str, most: int) -> PackChoices:
        """What the leader may take along, `most` of the oldest waiting trials. Raises LeaseLost."""

    def lease_along(self, token: str, numbers: Sequence[int]) -> list[Lease]:
        """Lease these waiting trials too, to the leader's worker and for as long; those that are not to be had any
        more, or are more than the study may run at once, are left out. Their tickets, if any, become no-ops.
        """

    def renew_pack(self, tokens: Sequence[str], lease_s: float) -> Mapping[str, str]:
        """Prolong all these leases; of each that was open, why its trial is asked back ("": it is not)."""

    def running_packs(self, studies: Sequence[int]) -> Mapping[int, int]:
        """How many processes run trials of each of these studies; one without any is left out."""
