"""As an experiment of MLflow's: one run a trial, with its parameters, its reports as metrics by step, and its score.

A run is found again by its tags, so that writing the same study again adds what is new and repeats nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from celeriac.domain.errors import CallerError
from celeriac.domain.records import ENDED, Report, TrialRecord, TrialState
from celeriac.report.export.study import Exported, lacking, numbers

#: MLflow's own limits for one call.
_MOST_METRICS, _MOST_PARAMS, _MOST_TEXT = 1000, 100, 6000
STUDY, TRIAL = "celeriac.study", "celeriac.trial"
_STATUS = {TrialState.SCORED: "FINISHED", TrialState.PRUNED: "FINISHED", TrialState.CANCELLED: "KILLED"}


def write(found: Exported, out: str) -> int:
    """Write it to the tracking server, directory or database that `out` names ("": where MLflow writes by itself).

    Only trials that have ended are written. Raises ExtraMissing, and CallerError with what MLflow says.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ModuleNotFoundError as error:
        raise lacking(error) from None
    try:
        return _added(MlflowClient(out or None), found)
    except MlflowException as error:
        raise CallerError(f"MLflow {out or '(where it writes by itself)'}: {error}") from None


def _added(client: Any, found: Exported) -> int:
    """Write the trials that have ended and are not there yet; how many those were."""
    name = f"celeriac/{found.record.name}"
    known = client.get_experiment_by_name(name)
    experiment = client.create_experiment(name) if known is None else known.experiment_id
    there = set() if known is None else _written(client, experiment)
    count = 0
    for trial, told in found.trials:
        if trial.state in ENDED and trial.number not in there:
            _log(client, experiment, found, trial, told)
            count += 1
    return count


def _written(client: Any, experiment: str) -> set[int]:
    """The trials whose runs are there, whole."""
    numbers_there: set[int] = set()
    token: str | None = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        whole = [run for run in page if run.info.status != "RUNNING" and TRIAL in run.data.tags]
        numbers_there |= {int(run.data.tags[TRIAL]) for run in whole}
        token = page.token
        if not token:
            return numbers_there


def _log(client: Any, experiment: str, found: Exported, trial: TrialRecord, told: Sequence[Report]) -> None:
    from mlflow.entities import Metric, Param, RunTag

    began, ended = _ms(trial.started_at or trial.ended_at), _ms(trial.ended_at)
    tags = {STUDY: found.record.name, TRIAL: str(trial.number), "celeriac.state": str(trial.state)}
    if trial.detail:
        tags["celeriac.detail"] = trial.detail
    run = client.create_run(
        experiment, start_time=began, tags={**tags, "mlflow.runName": f"{found.record.name}-{trial.number}"}
    )
    metric = found.record.metric
    metrics = [
        Metric(name, value, _ms(each.at) or began, each.step)
        for each in told
        for name, value in {f"{metric}_reported": each.value, **numbers(each.metrics)}.items()
    ]
    last = trial.step or 0
    if trial.score is not None:
        metrics += [Metric(metric, trial.score, ended, last)]
    metrics += [Metric(name, value, ended, last) for name, value in numbers(trial.metrics).items()]
    params = [Param(name, str(value)[:_MOST_TEXT]) for name, value in trial.params.items()]
    texts = [RunTag(name, str(value)) for name, value in trial.metrics.items() if name not in numbers(trial.metrics)]
    for start in range(0, max(len(metrics), 1), _MOST_METRICS - _MOST_PARAMS):
        client.log_batch(run.info.run_id, metrics=metrics[start : start + _MOST_METRICS - _MOST_PARAMS])
    for start in range(0, len(params), _MOST_PARAMS):
        client.log_batch(run.info.run_id, params=params[start : start + _MOST_PARAMS])
    client.log_batch(run.info.run_id, tags=texts[:100])
    client.set_terminated(run.info.run_id, _STATUS.get(trial.state, "FAILED"), end_time=ended)


def _ms(moment: datetime | None) -> int:
    return 0 if moment is None else int(moment.timestamp() * 1000)
