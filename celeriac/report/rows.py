"""A trial as one flat row, for tables and files."""

from typing import Any

from celeriac.domain.records import TrialRecord


def row_of(trial: TrialRecord) -> dict[str, Any]:
    """A trial as one flat row: parameters as `params.<name>`, metrics as `metrics.<name>`, scores on the hold-out as
    `holdout.<block>`, from 0 on.
    """
    started, ended = trial.started_at, trial.ended_at
    return {
        "number": trial.number,
        "state": str(trial.state),
        "source": str(trial.source),
        "score": trial.score,
        "step": trial.step,
        "seed": trial.seed,
        "drift": trial.drift,
        "attempts": trial.attempts,
        "fault": None if trial.fault is None else str(trial.fault),
        "detail": trial.detail,
        "worker": trial.worker,
        "started_at": started,
        "ended_at": ended,
        "duration_s": (ended - started).total_seconds() if started and ended else None,
        **{f"params.{name}": value for name, value in trial.params.items()},
        **{f"metrics.{name}": value for name, value in trial.metrics.items()},
        **{f"holdout.{block}": value for block, value in enumerate(trial.holdout)},
    }
