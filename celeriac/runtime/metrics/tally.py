"""What a program counts, in its memory: an addition under a lock, and no library. Served or not, it costs the same."""

from bisect import bisect_left
from collections import defaultdict
from threading import Lock

from celeriac.runtime.metrics.table import BY_NAME, Metric

#: Upper bounds of the histograms' buckets, in seconds.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
#: A histogram's buckets before its first observation.
EMPTY = (0,) * (len(BOUNDS) + 1)


class Tallies:
    """The counts of one program, by metric and label values."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._values: defaultdict[tuple[str, tuple[str, ...]], float] = defaultdict(float)
        self._buckets: dict[str, list[int]] = {}
        self._sums: defaultdict[str, float] = defaultdict(float)

    def add(self, name: str, by: float = 1.0, *labels: str) -> None:
        """Count on."""
        with self._lock:
            self._values[_checked(name, labels).name, labels] += by

    def set(self, name: str, value: float, *labels: str) -> None:
        """Say how it is now."""
        with self._lock:
            self._values[_checked(name, labels).name, labels] = value

    def observe(self, name: str, seconds: float) -> None:
        """One more observation of a histogram."""
        with self._lock:
            counts = self._buckets.setdefault(_checked(name, ()).name, list(EMPTY))
            counts[bisect_left(BOUNDS, seconds)] += 1
            self._sums[name] += seconds

    def values(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """All counts and gauges now."""
        with self._lock:
            return dict(self._values)

    def histograms(self) -> dict[str, tuple[list[int], float]]:
        """Of each histogram the counts of its buckets, the last one without a bound, and the sum."""
        with self._lock:
            return {name: (list(counts), self._sums[name]) for name, counts in self._buckets.items()}


def _checked(name: str, labels: tuple[str, ...]) -> Metric:
    found = BY_NAME[name]
    if len(labels) != len(found.labels):
        raise ValueError(f"{name} has the labels {found.labels}, not {labels}")
    return found


#: This program's.
TALLIES = Tallies()
