"""What becomes of the model that a trial has written: copied to the artefact root before the score is recorded, so that
a row names only what is there.

Rule: whatever goes wrong costs the model, never the score; the trial's detail says what it was.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from celeriac.domain.errors import CeleriacError
from celeriac.domain.records import IF_GIVEN, Artefact, TrialRecord, TrialState
from celeriac.runtime.artefacts import ArtefactDamaged, Artefacts, open_artefacts
from celeriac.runtime.artefacts.api import hashed
from worker.attempt import classify
from worker.attempt.checkpoints import resolved
from worker.attempt.classify import Cut, Evidence
from worker.attempt.control import Unanswered
from worker.attempt.run_state import Run
from worker.process.events import Returned

log = logging.getLogger(__name__)


def stand_by_score(attempt: Run, evidence: Callable[[], Evidence]) -> None:
    """Of a trial whose process ended while it wrote its model, by itself or not, the score is the last word."""
    if attempt.scored is None or isinstance(attempt.last, Returned):
        return
    if attempt.cut is Cut.TIMEOUT:
        why = f"it was not written within {attempt.context.settings.model_s:g} s (CELERIAC_MODEL_S)"
    else:
        why = f"while it was written: {classify.classify(evidence()).detail}"
    attempt.notes.append(f"its model was not kept: {why}")
    attempt.last = attempt.scored


def keep_model(attempt: Run) -> Artefact | None:
    """Copy the model to the artefact root; None, with a note where one was wanted, if there is none."""
    returned, context = attempt.last, attempt.context
    if not attempt.lease.plan.keep_model or not isinstance(returned, Returned):
        return None
    written = returned.model
    if written is None:
        if returned.model_error:
            attempt.notes.append(f"its model was not kept: {returned.model_error}")
        elif returned is not attempt.scored and attempt.lease.plan.keep_model != IF_GIVEN:
            attempt.notes.append("it gives no model: return celeriac.Result(score, model=lambda path: …) to keep one")
        return None
    lease, settings = attempt.lease, context.settings
    key = f"models/{lease.study_id}/{lease.number}-{lease.attempt}-{written.sha256[:12]}"
    try:
        return context.control.in_time(
            lambda: _copied(written, settings.checkpoint_root, open_artefacts(settings.artefact_root), key),
            within_s=settings.model_s,
            grace_s=settings.checkpoint_grace_s,
        )
    except (Unanswered, CeleriacError, OSError) as error:
        attempt.notes.append(f"its model was not kept: {error}")
        return None


def _copied(written: Artefact, root: Path, artefacts: Artefacts, key: str) -> Artefact:
    """Raises ArtefactDamaged for a file that is not what the trial said, CallerError for one outside the root."""
    local = resolved(root, written.path)
    found = hashed(local, key)
    if found.sha256 != written.sha256:
        raise ArtefactDamaged(f"{local} was changed after the objective had written it")
    artefacts.put(local, key)
    return found


def tidy_models(attempt: Run, trial: TrialRecord | None) -> None:
    """Delete the models that nobody wants any more: of trials that a better one of the study has overtaken, and what
    this attempt wrote without its trial taking it (None: the lease was lost). What is left, `celeriac prune` finds.
    """
    context, lease, kept = attempt.context, attempt.lease, attempt.model
    if kept is None:
        return
    doomed = [kept.path] if trial is None or trial.model != kept else []
    if trial is not None and trial.state is TrialState.SCORED:
        try:
            doomed += context.store.overtaken_models(lease.token)
        except CeleriacError as error:
            log.warning("%s: overtaken models are left: %s", attempt.name, error)
    if doomed:
        context.janitor.put(
            f"deleting {len(doomed)} models of {lease.study}",
            lambda: open_artefacts(context.settings.artefact_root).delete(doomed),
        )
