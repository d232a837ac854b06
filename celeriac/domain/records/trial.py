"""A trial: its row, and how a sampler sees it before and after its end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Any

from celeriac.domain.provenance import Provenance
from celeriac.domain.records.artefact import Artefact
from celeriac.domain.records.placing import Placed
from celeriac.domain.states import Fault, Params, Source, TrialState


def html_table(rows: Mapping[str, object]) -> str:
    """Names and values as a table for a notebook."""
    cells = (f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in rows.items())
    return f"<table>{''.join(cells)}</table>"


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A trial's row.

    `attempts` counts the leases ever given; `faults` counts its attempts' faults by class. `ended_no` is the place of
    this trial in the study's order of ends (1, 2, …), gap-free and in commit order, so that readers can go on from
    where they were. `device_kind` is its newest attempt's ("": none, or unknown). Where a page of trials was read
    (`Store.trials`, `Store.ended_since`), `rungs` holds its (rung, value) pairs, lowest rung first, and
    `oom_device_kinds` the kinds of the devices on which an attempt ran out of memory, sorted. `not_before`: after a
    fault, no ticket is sent earlier. `holdout`, its result's scores by block, and `drift` are for a schedule's gate: no
    sampler sees them. `seed`: given with the suggestion; None, it follows from the study's and the trial's number.
    `placed`: where its newest ticket was sent; None: to the queue of its class.
    """

    study_id: int
    number: int
    params: Params
    state: TrialState
    source: Source
    why: Mapping[str, Any]
    score: float | None
    metrics: Mapping[str, Any]
    step: int | None
    attempts: int
    faults: Mapping[str, int]
    fault: Fault | None
    detail: str
    signature: str
    last_step: int | None
    last_value: float | None
    worker: str
    ended_no: int | None
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    rungs: tuple[tuple[int, float], ...] = ()
    device_kind: str = ""
    oom_device_kinds: tuple[str, ...] = ()
    not_before: datetime | None = None
    holdout: tuple[float, ...] = ()
    drift: float | None = None
    seed: int | None = None
    model: Artefact | None = None
    placed: Placed | None = None

    @property
    def provenance(self) -> Provenance:
        """How its parameters came about: its `why`, read."""
        return Provenance.read(self.why)

    def __repr__(self) -> str:
        """What a person wants to see of it, on one line."""
        score = f", score={self.score:.6g}" if self.score is not None else ""
        return f"TrialRecord(number={self.number}, state={self.state}{score}, params={dict(self.params)})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        told = {"trial": self.number, "state": self.state, "score": self.score, "detail": self.detail}
        return html_table({**{name: value for name, value in told.items() if value not in (None, "")}, **self.params})


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Parameters that a sampler proposes, and why: enough to propose them again from the rows.

    `seed`: of the trial, in place of the one that follows from the study's; two trials of one seed are a pair.
    """

    params: Params
    source: Source
    why: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class ProposedSoFar:
    """What a study has taken from the proposer called `who`: trials `given`, those of them that `ended`, and the `hits`
    among these, which scored at least as well as the median of its own scored trials. Cancelled ones count for nothing.
    """

    who: str = ""
    given: int = 0
    ended: int = 0
    hits: int = 0


@dataclass(frozen=True, slots=True)
class PendingTrial:
    """A trial as a sampler sees it before its end. `observed`: how many ends its suggestion knew, None when no sampler
    suggested it.

    The newest waiting trials may be given other parameters; `observed` then changes with them.
    """

    number: int
    params: Params
    source: Source
    observed: int | None


@dataclass(frozen=True, slots=True)
class EndedTrial:
    """How a trial ended: what the decision to pause a study looks at."""

    number: int
    fault: Fault | None
    signature: str
    detail: str
    ended_at: datetime
