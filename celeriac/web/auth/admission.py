"""Whether who looks on may still do so: a stream lasts, and a token can be revoked meanwhile."""

from time import monotonic

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from celeriac.domain.errors import CeleriacError
from celeriac.store import WebStore
from celeriac.web.auth.principal import who_asks

#: So often a stream's token, or session, is looked at again, however much is told on it.
AGAIN_S = 15.0


class Admission:
    """The admission of one stream, from its request on."""

    def __init__(self, store: WebStore, request: Request) -> None:
        self._store, self._request = store, request
        self._looked_at = monotonic()

    @property
    def left_s(self) -> float:
        """How long until it is to be looked at again."""
        return max(self._looked_at + AGAIN_S - monotonic(), 0.0)

    async def holds(self) -> bool:
        """Whether it still holds."""
        if self.left_s > 0:
            return True
        self._looked_at = monotonic()
        return await run_in_threadpool(self._ask)

    def _ask(self) -> bool:
        try:
            return who_asks(self._store, self._request) is not None
        except CeleriacError:
            return True  # the store is away: nobody knows
