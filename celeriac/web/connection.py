"""One connection of the server: whoever opens it asks something, soon.

uvicorn by itself waits for ever for a request's head, and for the rest of a body that nobody reads. So anybody could
hold all connections that a program may have with a word a minute, without any token.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

#: A head may take so long, and up to twice that; so may the rest of a request that was answered before its end.
HEAD_S = 20.0


class Connection(H11Protocol):
    """A connection that is closed when no request came whole, head and all, between two looks. h11, also where a faster
    parser is installed: it bounds the length of a head, to 64 KB.
    """

    _look: asyncio.TimerHandle
    _seen: object = None

    def connection_made(self, transport: Any) -> None:
        """Look after it from its first moment."""
        super().connection_made(transport)
        self._look = self.loop.call_later(HEAD_S, self._asks_still)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        self._look.cancel()
        super().connection_lost(exc)

    def _asks_still(self) -> None:
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if not is_answering and self.cycle is self._seen:
            self.transport.close()
            return
        self._seen = self.cycle
        self._look = self.loop.call_later(HEAD_S, self._asks_still)
