"""A trial's life as a trace, from its rows."""

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from celeriac.domain.lifecycle import TrialEvent
from celeriac.domain.records import Fault
from coordinator.traces import Traces, trace_id
from tests.celeriac.store.scenes import failed, leased, queued, scored
from tests.memory_store import MemoryStore


def test_a_life_is_one_trace_with_its_waits_and_attempts() -> None:
    store, exporter = MemoryStore(), InMemorySpanExporter()
    study = queued(store, 1)
    traces = Traces("http://nowhere:4318", exporter)
    again = failed(Fault.INFRASTRUCTURE, trial_event=TrialEvent.RETRY)
    store.finish_attempt(leased(store, study, 0).token, again)
    traces.ended(store, study.id, 0)  # it goes on: nothing is sent
    store.queue_trials(study.id, store.study(study.id).turn, [0])
    store.finish_attempt(leased(store, study, 0, attempt=2).token, scored(0.5))
    traces.ended(store, study.id, 0)
    traces.ended(store, study.id, 99)  # there is none: told in the log
    traces.close()
    spans = exporter.get_finished_spans()
    assert sorted(each.name for each in spans) == ["attempt", "attempt", "trial", "waiting"]
    assert {each.context.trace_id for each in spans if each.context} == {trace_id(study.id, 0)}
    [life] = [each for each in spans if each.name == "trial"]
    assert life.attributes is not None
    assert (life.attributes["celeriac.score"], life.attributes["celeriac.state"]) == (0.5, "SCORED")
    faults = [each.attributes["celeriac.attempt_fault"] for each in spans if each.name == "attempt" and each.attributes]
    assert faults == ["infrastructure", ""]
    assert all(life.start_time <= each.start_time <= each.end_time <= life.end_time for each in spans)  # type: ignore[operator]
