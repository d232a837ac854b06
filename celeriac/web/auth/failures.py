"""Failed logins by address: after so many within a minute no more are looked at. Kept in this process alone."""

from collections import OrderedDict, deque
from collections.abc import Callable
from time import monotonic

MOST = 10
WINDOW_S = 60.0
_MOST_ADDRESSES = 10_000


class Failures:
    """The failed logins of the last minute."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._at: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """How long this address has to wait; 0: it need not."""
        found, now = self._at.get(address, deque()), self._clock()
        while found and found[0] <= now - WINDOW_S:
            found.popleft()
        return 0.0 if len(found) < MOST else found[0] + WINDOW_S - now

    def note(self, address: str) -> None:
        """One more has failed."""
        self._at.setdefault(address, deque(maxlen=MOST)).append(self._clock())
        self._at.move_to_end(address)
        while len(self._at) > _MOST_ADDRESSES:
            self._at.popitem(last=False)
