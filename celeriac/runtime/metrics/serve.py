"""Serving metrics in Prometheus' text format, by prometheus_client (extra `metrics`).

A program serves on a port of its own (`CELERIAC_METRICS_PORT`, one further for each program of a host); the web program
at /metrics behind its login. Rows are read once a scrape, and at most once in SCRAPE_S, whoever asks.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from celeriac.domain.errors import CeleriacError, ExtraMissing
from celeriac.runtime.metrics.table import BY_NAME, METRICS, PREFIX, Metric
from celeriac.runtime.metrics.tally import BOUNDS, EMPTY, TALLIES, Tallies
from celeriac.runtime.settings import Settings

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family

log = logging.getLogger(__name__)

#: Whoever scrapes sooner gets the same rows' figures again.
SCRAPE_S = 5.0
#: Where each program of a host listens, counted from the port that is set.
OFFSETS = {"drive": 0, "clock": 1, "node": 2}
#: A figure of the rows: the metric, its label values, the value.
Figure = tuple[str, tuple[str, ...], float]


class Collector:
    """What one program tells: its tallies, and the rows' figures where it reads them.

    Each metric of the program is told from the start, counts as 0: an alert sees the first fault as an increase.
    """

    def __init__(
        self, read: Callable[[], Sequence[Figure]] | None = None, tallies: Tallies = TALLIES, *, program: str = ""
    ) -> None:
        self._read, self._tallies, self._lock = read, tallies, Lock()
        self._told = [each for each in METRICS if each.of == program or (each.of == "rows" and read is not None)]
        self._figures: Sequence[Figure] = ()
        self._read_at = -SCRAPE_S

    def collect(self) -> "Iterator[Family]":
        """The families, as prometheus_client asks for them; without the rows' while the store is away."""
        figures = [*self._rows(), *((name, labels, value) for (name, labels), value in self._tallies.values().items())]
        yield from _families(self._told, figures)
        seen = self._tallies.histograms()
        unseen = {each.name: (EMPTY, 0.0) for each in self._told if each.kind == "histogram"}
        for name, (counts, total) in {**unseen, **seen}.items():
            yield _histogram(BY_NAME[name], counts, total)

    def _rows(self) -> Sequence[Figure]:
        if self._read is None:
            return ()
        with self._lock:
            if time.monotonic() - self._read_at >= SCRAPE_S:
                try:
                    began = time.perf_counter()
                    self._figures = [*self._read(), ("scrape_seconds", (), time.perf_counter() - began)]
                    self._read_at = time.monotonic()
                except CeleriacError as error:
                    log.warning("metrics without the rows: %s", error)
                    self._figures = ()
            return self._figures


def _families(told: Iterable[Metric], figures: Iterable[Figure]) -> "Iterator[Family]":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    by_name: dict[str, list[Figure]] = {each.name: [] for each in told if each.kind != "histogram"}
    for figure in figures:
        by_name.setdefault(figure[0], []).append(figure)
    for name, found in by_name.items():
        about = BY_NAME[name]
        family = CounterMetricFamily if about.kind == "counter" else GaugeMetricFamily
        made = family(PREFIX + name, about.about, labels=about.labels)
        is_unseen = about.kind == "counter" and not about.labels and not found
        for _, labels, value in [(name, (), 0.0)] if is_unseen else found:
            made.add_metric(labels, value)
        yield made


def _histogram(about: Metric, counts: Sequence[int], total: float) -> "Family":
    from prometheus_client.core import HistogramMetricFamily

    family, so_far, buckets = HistogramMetricFamily(PREFIX + about.name, about.about), 0, []
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True):
        so_far += count
        buckets.append((bound, float(so_far)))
    family.add_metric((), buckets, total)
    return family


def exposition(collector: Collector) -> tuple[bytes, str]:
    """What a scrape answers, and its content type. Raises ExtraMissing."""
    registry, library = _registry(collector)
    return library.generate_latest(registry), library.CONTENT_TYPE_LATEST


def serve(settings: Settings, program: str, collector: Collector) -> Callable[[], None]:
    """Serve this program's metrics until the answer is called; does nothing where no port is set.

    A port that another has is told in the log, and the program works on. Raises ExtraMissing.
    """
    if not settings.metrics_port:
        return lambda: None
    registry, library = _registry(collector)
    port = settings.metrics_port + OFFSETS[program]
    try:
        server, thread = library.start_http_server(port, settings.metrics_address, registry=registry)
    except OSError as error:
        log.error("no metrics on %s:%d: %s", settings.metrics_address, port, error.strerror)
        return lambda: None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


def _registry(collector: Collector):  # type: ignore[no-untyped-def]
    """A registry with the collector and this process's own figures, and the library."""
    try:
        import prometheus_client
    except ModuleNotFoundError:
        raise ExtraMissing(
            "metrics need prometheus_client: `pip install 'celeriac[metrics]'`, or CELERIAC_METRICS_PORT=0"
        ) from None
    registry = prometheus_client.CollectorRegistry()
    registry.register(collector)
    prometheus_client.ProcessCollector(registry=registry)
    return registry, prometheus_client
