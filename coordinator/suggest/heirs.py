"""Heirs: the trials of a population that take the place of those that fell behind (`celeriac.decide.pbt`).

Rules: the first `population` trials are fresh, suggested by the study's sampler; then each trial that fell behind has
one heir, in the order of their ends; all other places are filled with fresh ones. Who has an heir already follows from
how many heirs there are, so nothing is kept.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from celeriac.decide.pbt import MOST_LEADERS, HeirDecision, Leader, heir, leaders
from celeriac.domain.errors import UnknownTrial
from celeriac.domain.provenance import By, Provenance
from celeriac.domain.records import RungRecord, Source, StudyRecord, Suggestion, TrialRecord
from celeriac.domain.stop_rules import Pbt
from celeriac.domain.study_file import StudySpec, parse
from celeriac.store import Store
from coordinator.samplers.api import Kind, Point, proposed
from coordinator.suggest.history import History

SAMPLER = "pbt"


def heirs_of(
    store: Store, study: StudyRecord, history: History, pending: list[Point], first: int, count: int
) -> tuple[list[Suggestion], int]:
    """Of `count` trials, from number `first` on: those that are heirs, which become `pending`, and how many fresh ones
    come behind them now. All are fresh where there is no population.
    """
    rule = history.spec.stop_early
    if not isinstance(rule, Pbt):
        return [], count
    known = [*(each.point for each in history.observations), *pending]
    born = sum(each.source is Source.PBT for each in known)
    missing = rule.population - (len(known) - born)
    if missing > 0:
        return [], min(count, missing)
    behind = [each.point.number for each in history.observations if each.kind is Kind.PRUNED]
    found = []
    for number, loser in enumerate(behind[born : born + count], first):
        decision, of = _decided(store, history.spec, rule, study, loser, number)
        point = proposed(history.spec.space, decision.params, number)
        pending.append(replace(point, source=Source.PBT))
        found.append(_suggestion(history, study, decision, loser, of))
    return found, count - len(found)


def again(store: Store, study: StudyRecord, trial: TrialRecord) -> dict[str, Any]:
    """An heir's parameters, decided again from the rows: the records of the rung, and the leaders that had checkpoints
    then. Raises UnknownTrial where its row does not say how it was found.
    """
    said = trial.provenance.more
    if trial.provenance.seed is None or not {"replaces", "leaders"} <= set(said):
        raise UnknownTrial(f"trial {trial.number} of {study.name} cannot be replayed: its row does not say how")
    spec = parse(study.spec, f"study {study.name}")
    if not isinstance(spec.stop_early, Pbt):
        raise UnknownTrial(f"trial {trial.number} of {study.name} is an heir, and the study has no population")
    own, *_ = store.rung_leaders(study.id, said["replaces"], 1)
    then = [Leader(number, store.trial(study.id, number).params, step) for number, step in said["leaders"]]
    seed = trial.provenance.seed
    return heir(spec.stop_early, spec.space, own, then, number=trial.number, seed=seed).params


def _decided(
    store: Store, spec: StudySpec, rule: Pbt, study: StudyRecord, loser: int, number: int
) -> tuple[HeirDecision, Sequence[Leader]]:
    own, *best = store.rung_leaders(study.id, loser, MOST_LEADERS)
    found = [_leader(store, each) for each in leaders(rule, own, best)]
    return heir(rule, spec.space, own, found, number=number, seed=spec.seed), found


def _leader(store: Store, record: RungRecord) -> Leader:
    """With its newest checkpoint at its report at the rung, or before."""
    steps = [each.step for each in store.checkpoints(record.study_id, record.trial) if each.step <= record.step]
    params = store.trial(record.study_id, record.trial).params
    return Leader(record.trial, params, max(steps, default=None))


def _suggestion(
    history: History, study: StudyRecord, decision: HeirDecision, loser: int, of: Sequence[Leader]
) -> Suggestion:
    """`leaders`: those that could be copied, each with the step of its checkpoint then."""
    how = Provenance(
        By.POPULATION,
        decision.reason,
        sampler=SAMPLER,
        seed=history.spec.seed,
        observed=history.ended_no,
        best=study.best_number,
        index=0,
        more={
            "parent": decision.parent,
            "parent_step": decision.parent_step,
            "replaces": loser,
            "leaders": [[each.number, each.step] for each in of],
        },
    )
    return Suggestion(decision.params, Source.PBT, how.written())
