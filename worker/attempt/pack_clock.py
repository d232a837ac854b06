"""The device time of a pack: each second of its process is charged in equal parts to the trials active in it."""

from dataclasses import dataclass


@dataclass(slots=True)
class PackClock:
    """What each trial that is still active has been charged. Times are seconds of one monotonic clock."""

    active: int = 0
    _since: float | None = None
    _before_s: float = 0.0

    def begin(self, now: float, active: int) -> None:
        """From now on, and afresh, so many trials share the process."""
        self.active, self._since, self._before_s = active, now, 0.0

    def leave(self, now: float) -> None:
        """One of them has ended."""
        self._before_s = self.charged_s(now)
        self._since = None if self._since is None else now
        self.active -= 1

    def charged_s(self, now: float) -> float:
        """Seconds that a trial is charged which has been there from the beginning until now."""
        if self._since is None or self.active < 1:
            return self._before_s
        return self._before_s + (now - self._since) / self.active
