"""What a turn asks of a sampler, and what it is told: values that go to another process and come back.

Rules: a question names the rows that its answer depends on, none of which changes any more, so whoever answers it, and
when, changes nothing; an answer is never written down here, and is good at the turn that its question names only.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Protocol

from celeriac.decide.sampler import chosen_sampler
from celeriac.domain.errors import CallerError, SamplerFailed, TryAgain
from celeriac.domain.provenance import By, Provenance
from celeriac.domain.records import Source, StudyRecord, Suggestion
from celeriac.domain.sampler_names import AUTO
from celeriac.store import Store
from coordinator.samplers import learns_from_earlier
from coordinator.samplers.api import proposed
from coordinator.suggest.heirs import heirs_of
from coordinator.suggest.history import Histories
from coordinator.suggest.shapes import ask_in_shapes

log = logging.getLogger(__name__)

#: What one suggestion is taken to cost before any was made.
GUESSED_S = 0.05


@dataclass(frozen=True, slots=True)
class SuggestRequest:
    """Which parameters for trial `first` and the `count - 1` after it?

    `study` is its row at the moment of asking: its `counts.ended` first ends are the past, and the trials below
    `first` that had not ended then are pending; those from `first` on, if there are any, are to be replaced and count
    for nothing.
    """

    study: StudyRecord
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class SuggestResult:
    """Suggestions for trial `first` and those after it; fewer than asked for: the space has no further point.

    `error` not "": the study cannot go on until a person changes something. `silent`: the store did not answer, ask
    again later. `took_s`: seconds of one suggestion, on average.
    """

    study_id: int
    first: int
    suggestions: tuple[Suggestion, ...] = ()
    error: str = ""
    silent: bool = False
    took_s: float = GUESSED_S


class SuggestService(Protocol):
    """Who answers questions: a pool of processes (`coordinator.suggest.pool`); in tests, the asking process itself."""

    def answer(self, question: SuggestRequest) -> SuggestResult | None:
        """The answer, if it is here and still good; None: it is being worked on, and a turn of the study follows it."""

    def carry(self, study_id: int, turn: int) -> None:
        """The study went from `turn` to the next by a write that changes no answer (tickets): what was asked for stays
        good.
        """

    def suggest_s(self, study_id: int) -> float:
        """Seconds that one suggestion for this study has lately taken."""

    def forget(self, study_id: int) -> None:
        """The study is closed or paused: nothing that is known of it is needed again."""

    def keep_only(self, study_ids: Sequence[int]) -> None:
        """Forget all other studies."""

    def close(self) -> None:
        """Answer nobody any more."""


def answered(store: Store, histories: Histories, question: SuggestRequest) -> SuggestResult:
    """Ask the study's sampler. Whatever goes wrong becomes part of the answer, so that it reaches the study."""
    study, began = question.study, monotonic()
    try:
        suggestions = suggested(store, histories, question)
    except TryAgain as error:
        return SuggestResult(study.id, question.first, silent=True, error=str(error))
    except CallerError as error:
        return SuggestResult(study.id, question.first, error=str(error))
    except Exception as error:
        sampler = study.spec.get("sampler", "")
        told = str(error) if isinstance(error, SamplerFailed) else repr(error)
        said = f"the {sampler} sampler failed on {study.name}: {told}"
        log.exception("%s", said)
        return SuggestResult(study.id, question.first, error=said)
    took_s = (monotonic() - began) / max(len(suggestions), 1)
    return SuggestResult(study.id, question.first, tuple(suggestions), took_s=took_s)


def suggested(store: Store, histories: Histories, question: SuggestRequest) -> list[Suggestion]:
    """What the study's sampler proposes, with all it needs to propose the same again. Raises whatever the sampler
    does.
    """
    study = question.study
    history = histories.of(study)
    history.read_on(store, study, until=study.counts.ended)
    spec = history.spec
    pending = history.pending(store, study, below=question.first)
    start = history.started(store, study)
    found = start.first_from(question.first - (spec.default is not None))[: question.count]
    for number, suggestion in enumerate(found, question.first):
        point = proposed(spec.space, dict(suggestion.params), number)
        pending.append(replace(point, source=suggestion.source))
    heirs, count = heirs_of(store, study, history, pending, question.first, question.count - len(found))
    found += heirs
    if not count:
        return found
    if not spec.space.names:  # nothing is known of it: the objective's own questions are answered at random
        how = Provenance(By.RANDOM, "the first trials teach the space", observed=history.ended_no)
        return found + [Suggestion({}, Source.SUGGESTED, how.written())] * (question.count - len(found))
    decision = chosen_sampler(spec, study)
    earlier = start.earlier if learns_from_earlier(decision.name) else ()
    proposals = ask_in_shapes(decision.name, spec, history.observations, pending, count, earlier)
    chosen = {"chosen": f"by auto: {decision.reason}"} if spec.sampler == AUTO else {}
    for index, proposal in enumerate(proposals):
        how = Provenance.read(proposal.how).in_scores(study.goal)
        how = replace(
            how,
            sampler=decision.name,
            seed=spec.seed,
            observed=history.ended_no,
            best=study.best_number,
            index=index,
            earlier=start.refs if earlier else (),
            more={**chosen, **how.more},
        )
        found.append(Suggestion(proposal.params, Source.SUGGESTED, how.written()))
    return found
