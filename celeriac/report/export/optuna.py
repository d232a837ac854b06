"""As a study of Optuna's, in an SQLite file that `optuna-dashboard` and `optuna.load_study` open.

Scored trials are COMPLETE, pruned ones PRUNED, failed and cancelled ones FAIL, running ones RUNNING; what waits is not
there yet. Metrics become user attributes, and so does the trial's number here (`celeriac.number`).
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from celeriac.domain.errors import CallerError
from celeriac.domain.records import Report, TrialRecord, TrialState
from celeriac.report.distributions import params_of
from celeriac.report.export.study import Exported, lacking

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_STATES = {
    TrialState.SCORED: "COMPLETE",
    TrialState.PRUNED: "PRUNED",
    TrialState.FAILED: "FAIL",
    TrialState.CANCELLED: "FAIL",
    TrialState.RUNNING: "RUNNING",
}


def write(found: Exported, out: str) -> int:
    """Write it to the SQLite file `out`, beside other studies that are in it. Raises ExtraMissing, and CallerError
    where the file has a study of that name.
    """
    try:
        import optuna
        from optuna.exceptions import DuplicatedStudyError
    except ModuleNotFoundError as error:
        raise lacking(error) from None
    record = found.record
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            study_name=record.name, storage=f"sqlite:///{Path(out).absolute()}", direction=record.goal
        )
    except DuplicatedStudyError:
        raise CallerError(f"{out} has a study {record.name} already: name another file (--out)") from None
    finally:
        optuna.logging.set_verbosity(before)
    study.set_user_attr("celeriac.metric", record.metric)
    study.set_user_attr("celeriac.state", f"{record.state}: {record.reason}")
    frozen = [_frozen(found, trial, told) for trial, told in found.trials if trial.state in _STATES]
    study.add_trials(frozen)
    return len(frozen)


def _frozen(found: Exported, trial: TrialRecord, told: Sequence[Report]) -> "FrozenTrial":
    from optuna.trial import FrozenTrial
    from optuna.trial import TrialState as Theirs

    state = Theirs[_STATES[trial.state]]
    params, kinds = params_of(found.spec.space, trial)
    shown = {"celeriac.number": trial.number, "celeriac.source": str(trial.source), "celeriac.worker": trial.worker}
    if trial.detail:
        shown["celeriac.detail"] = trial.detail
    has_begun = trial.started_at or trial.ended_at
    return FrozenTrial(
        number=-1,  # as they come
        trial_id=-1,
        state=state,
        value=trial.score if state is Theirs.COMPLETE else None,
        datetime_start=_local(has_begun),
        datetime_complete=_local(trial.ended_at) if state.is_finished() else None,
        params=params,
        distributions=kinds,
        user_attrs={**shown, **trial.metrics},
        system_attrs={},
        intermediate_values={each.step: each.value for each in told},
    )


def _local(moment: datetime | None) -> datetime | None:
    """Optuna's times are local and without a zone."""
    return None if moment is None else moment.astimezone().replace(tzinfo=None)
