"""Points from outside: a person, a script or an agent proposes them, they run at once, and the model learns from them.

How many a study takes is decided by `celeriac.decide.proposals`; what is added is decided on one turn of the study and
written at that turn, or decided again.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from celeriac.client.schedules import who
from celeriac.decide.proposals import ProposalsDecision, proposals_now
from celeriac.domain.errors import CallerError, IllegalTransition, StaleTurn
from celeriac.domain.provenance import By, Provenance
from celeriac.domain.records import CLOSED, ProposedSoFar, Source, StudyRecord, StudyState, Suggestion, TrialRecord
from celeriac.domain.study_file import StudySpec, parse
from celeriac.store import Store

#: A study that was opened just now has its first turn within a moment; so long it is waited for.
START_S = 15.0
_LOOK_S = 0.1
_TURNS = 20


@dataclass(frozen=True, slots=True)
class Proposer:
    """What a study has taken from one proposer (as `ProposedSoFar`), and how many points more it takes now (`most`; 0
    where it does not run), with the reason.
    """

    who: str
    given: int
    ended: int
    hits: int
    most: int
    reason: str


def add_points(
    store: Store, study_id: int, points: Sequence[Mapping[str, Any]], *, reason: str = "", by: str = ""
) -> list[TrialRecord]:
    """Add a trial for each point, all or none. `by`: who proposes (default: this process's user at this host).

    Raises SpaceInvalid for a point that does not fit the space, CallerError for more points than the study takes now,
    for an empty list, and for a study that takes none; IllegalTransition where it does not run.
    """
    record = _begun(store, study_id)
    spec = parse(record.spec, f"study {record.name}")
    if flaw := _flaw(record, spec, points):
        raise CallerError(flaw)
    by = by or who()
    how = Provenance(By.PROPOSER, reason or None, more={"who": by}).written()
    valid = [spec.space.validate(point) for point in points]
    ordered = [{name: point[name] for name in spec.space.parameters if name in point} for point in valid]
    suggestions = [Suggestion(point, Source.PROPOSED, how) for point in ordered]
    for _ in range(_TURNS):
        record = store.study(study_id)
        _may_take(store, record, spec, by, len(points))
        try:
            return store.add_trials(study_id, record.turn, suggestions)
        except StaleTurn:  # the coordinator moved it on: decided again on its new turn
            continue
    raise StaleTurn(f"study {record.name} is moved on all the time: try again")


def proposers_of(store: Store, study_id: int) -> list[Proposer]:
    """Who has proposed points to the study, by name; none where it was never added to. Reads all its trials."""
    record, so_far = store.study(study_id), store.proposed(study_id)
    if not so_far:
        return []
    spec, is_open = parse(record.spec, f"study {record.name}"), record.state is StudyState.RUNNING
    decided = [(each, _decided(record, spec, so_far, each.who)) for each in so_far]
    return [
        Proposer(each.who, each.given, each.ended, each.hits, found.most if is_open else 0, found.reason)
        for each, found in decided
    ]


def _begun(store: Store, study_id: int) -> StudyRecord:
    """The study, once its first trial is there: trial 0 is the default's."""
    until = time.monotonic() + START_S
    while True:
        record = store.study(study_id)
        if record.state is not StudyState.OPEN and (record.next_number or record.state is not StudyState.RUNNING):
            return record
        if time.monotonic() > until:
            raise IllegalTransition(
                f"study {record.name} is {record.state} and has no trial yet: is a coordinator running? ask"
                " `celeriac doctor`, then add the points again"
            )
        time.sleep(_LOOK_S)


def _flaw(record: StudyRecord, spec: StudySpec, points: Sequence[Mapping[str, Any]]) -> str:
    """Why the study takes no points from outside, whatever they are; "" when it does."""
    if not points:
        return "no point is given: name at least one, a value for each parameter"
    if record.firing_id is not None:
        return (
            f"study {record.name} is a night's: its points come from its schedule; submit a study of your own with the"
            " same space, and add points to that"
        )
    if spec.reproducible:
        return (
            f"study {record.name} is `reproducible`: a point from outside would change its second run; submit its file"
            " without that key under another name (`--name`), and add points to that"
        )
    if record.state in CLOSED:
        return f"study {record.name} is {record.state}: `celeriac extend {record.name} --trials +{len(points)}` first"
    return ""


def _may_take(store: Store, record: StudyRecord, spec: StudySpec, by: str, count: int) -> None:
    if record.state is not StudyState.RUNNING:
        raise IllegalTransition(
            f"study {record.name} is {record.state}: points are added while it runs (`celeriac resume {record.name}`)"
        )
    decision = _decided(record, spec, store.proposed(record.id), by)
    if count > decision.most:
        raise CallerError(f"study {record.name} takes {decision.most} points now, not {count}: {decision.reason}")


def _decided(record: StudyRecord, spec: StudySpec, so_far: Sequence[ProposedSoFar], by: str) -> ProposalsDecision:
    left = record.budget - record.counts.finished - record.counts.open
    begun = record.next_number - record.counts.cancelled
    return proposals_now(so_far, by, spec.proposed_share, begun=begun, left=left)
