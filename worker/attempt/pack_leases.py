"""The leases of a pack: renewed together by one statement, and lost one by one."""

import math
from collections.abc import Iterable, Mapping
from typing import Protocol

from celeriac.domain.errors import LeaseLost
from worker.attempt.heartbeat import KeptLease
from worker.attempt.wakeup import Wakeup


class RenewsPacks(Protocol):
    """What of the store is used here."""

    def renew(self, token: str, lease_s: float) -> str:
        """See `Store.renew`."""

    def renew_pack(self, tokens: list[str], lease_s: float) -> Mapping[str, str]:
        """See `PackStore.renew_pack`."""


class PackLeases:
    """What the lease's keeper renews for a pack; `kept` is each trial's own lease, by its token. The runner's thread
    takes those out whose trials have ended.
    """

    def __init__(self, store: RenewsPacks, wakeup: Wakeup, tokens: Iterable[str], lease_s: float) -> None:
        self._store, self._wakeup, self._lease_s = store, wakeup, lease_s
        self.kept = {token: KeptLease(lambda: "", math.inf, math.inf) for token in tokens}
        self._left: set[str] = set()

    def leave(self, token: str) -> None:
        """Renew this one no more."""
        self._left.add(token)

    def renew(self) -> str:
        """Renew all that are left. Raises TryAgain."""
        tokens = [token for token in self.kept if token not in self._left]
        found = self._store.renew_pack(tokens, self._lease_s) if tokens else {}
        for token in tokens:
            if token not in found and token not in self._left:
                self._find_lost(token)
            elif found.get(token) and not self.kept[token].asked_back:
                self.kept[token].asked_back = found[token]
                self._wakeup.set()
        return ""

    def _find_lost(self, token: str) -> None:
        """Learn why one was not renewed."""
        try:
            self._store.renew(token, self._lease_s)
        except LeaseLost as lost:
            self.kept[token].lost = lost
            self.leave(token)
            self._wakeup.set()
