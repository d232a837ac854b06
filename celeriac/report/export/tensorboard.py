"""As TensorBoard's event files: one run a trial, its reports as scalars, its parameters and score for its HParams."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from celeriac.domain.records import Report, TrialRecord
from celeriac.report.export.study import Exported, lacking, numbers


def write(found: Exported, out: str) -> int:
    """Write it below the directory `out`, a directory a trial. Raises ExtraMissing, OSError."""
    try:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ModuleNotFoundError as error:
        raise lacking(error) from None
    count = 0
    for trial, told in found.trials:
        if trial.started_at is None:
            continue
        writer = EventFileWriter(str(Path(out, f"trial-{trial.number:05d}")))
        try:
            for event in _events(found.record.metric, trial, told):
                writer.add_event(event)
        finally:
            writer.close()
        count += 1
    return count


def _events(metric: str, trial: TrialRecord, told: Sequence[Report]) -> list[Any]:
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    started = trial.started_at.timestamp() if trial.started_at else 0.0
    ended = trial.ended_at.timestamp() if trial.ended_at else started
    params = {
        name: value if isinstance(value, (bool, int, float, str)) else str(value)
        for name, value in trial.params.items()
    }
    found = [_event(started, 0, hparams_pb(params, trial_id=f"trial-{trial.number:05d}", start_time_secs=started))]
    for each in told:
        values = {f"{metric} (reported)": each.value, **numbers(each.metrics)}
        found.append(_event(each.at.timestamp() if each.at else started, each.step, _scalars(values)))
    if trial.score is not None:
        values = {metric: trial.score, **numbers(trial.metrics)}
        found.append(_event(ended, trial.step or 0, _scalars(values)))
    return found


def _scalars(values: dict[str, float]) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])


def _event(at: float, step: int, summary: Any) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event

    return Event(wall_time=at, step=step, summary=summary)
