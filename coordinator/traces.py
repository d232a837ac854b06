"""A trace of each trial's life, sent when it ends: waiting, queued, each attempt; from the times in its rows.

Nothing is measured for it and nothing is kept: with no endpoint set (`CELERIAC_OTLP_ENDPOINT`) no row is read and no
library is loaded. It is sent by a thread of OpenTelemetry's own; what cannot be sent is dropped. A trial's trace has
the id that follows from its study and number, so whoever looks for it need not search.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from celeriac.domain.errors import CeleriacError, ExtraMissing
from celeriac.domain.records import Attempt, StudyRecord, TrialRecord
from celeriac.store import Store

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

log = logging.getLogger(__name__)


def trace_id(study_id: int, number: int) -> int:
    """The id of a trial's trace."""
    return int.from_bytes(sha256(f"{study_id}/{number}".encode()).digest()[:16], "big") or 1


class Traces:
    """Sends the lives of trials to an OTLP endpoint over HTTP, such as http://collector:4318/v1/traces."""

    def __init__(self, endpoint: str, exporter: "SpanExporter | None" = None) -> None:
        """`exporter` in place of the one for the endpoint. Raises ExtraMissing."""
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ModuleNotFoundError:
            raise ExtraMissing(
                "traces need OpenTelemetry: `pip install 'celeriac[traces]'`, or leave CELERIAC_OTLP_ENDPOINT empty"
            ) from None
        self._ids = _Ids()
        resource = Resource.create({"service.name": "celeriac"})
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter(endpoint=endpoint)))
        self._tracer = self._provider.get_tracer("celeriac")

    def ended(self, store: Store, study_id: int, number: int) -> None:
        """Send the trial's life, if it has ended; whatever goes wrong is logged and holds nobody up."""
        try:
            study, trial = store.study(study_id), store.trial(study_id, number)
            if trial.ended_at is not None:
                self.send(study, trial, store.attempts(study_id, number))
        except CeleriacError as error:
            log.warning("no trace of trial %d of study %d: %s", number, study_id, error)

    def send(self, study: StudyRecord, trial: TrialRecord, attempts: Sequence[Attempt]) -> None:
        """The spans of one life."""
        from opentelemetry.trace import set_span_in_context

        self._ids.next_trace = trace_id(study.id, trial.number)
        about: dict[str, Any] = {
            "celeriac.study": study.name,
            "celeriac.trial": trial.number,
            "celeriac.source": str(trial.source),
        }
        told: dict[str, Any] = {"celeriac.state": str(trial.state), "celeriac.fault": str(trial.fault or "")}
        if trial.score is not None:
            told["celeriac.score"] = trial.score
        life = self._tracer.start_span("trial", start_time=_ns(trial.created_at), attributes={**about, **told})
        within = set_span_in_context(life)

        def part(name: str, start: datetime | None, end: datetime | None, **more: Any) -> None:
            if start is not None and end is not None and end >= start:
                span = self._tracer.start_span(name, within, start_time=_ns(start), attributes={**about, **more})
                span.end(_ns(end))

        first = attempts[0].leased_at if attempts else trial.ended_at
        # The last time that its ticket was sent; of a retry it lies behind the first lease.
        queued = trial.queued_at if trial.queued_at is not None and first and trial.queued_at <= first else None
        part("waiting", trial.created_at, queued or first)
        part("queued", queued, first)
        for each in attempts:
            outcome = {"celeriac.outcome": str(each.outcome or ""), "celeriac.attempt_fault": str(each.fault or "")}
            run = {"celeriac.attempt": each.number, "celeriac.worker": each.worker, **outcome}
            part("attempt", each.leased_at, each.ended_at, **run)
        ends = [each.ended_at for each in attempts if each.ended_at is not None]
        life.end(
            _ns(max(trial.ended_at or trial.created_at, *ends)) if ends else _ns(trial.ended_at or trial.created_at)
        )

    def close(self) -> None:
        """Send what is left, within the exporter's own time."""
        self._provider.shutdown()


def _ns(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000


def _Ids() -> Any:  # noqa: N802 - a class whose base is loaded when it is needed
    """A generator of ids that takes the next trace's from us."""
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Ids(RandomIdGenerator):
        next_trace = 0

        def generate_trace_id(self) -> int:
            return self.next_trace or super().generate_trace_id()

    return Ids()
