"""The studies of a firing's stages: what each is called, and what of the file's spec it keeps."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from celeriac.domain.firing_moves import StageOpening
from celeriac.domain.provenance import By, Provenance
from celeriac.domain.records import GIVEN, NewStudy, Night, Params, Source, Stage, Suggestion

#: Ends that are early for a search would be wrong for trials that are compared with each other; and what is given needs
#: no order to come out the same.
_OF_A_SEARCH = frozenset({"stop_early", "stop_study", "reproducible"})


def stage_study(night: Night, stage: Stage) -> NewStudy:
    """The study of a stage: a search has the firing's own name, the others theirs below it."""
    plan, name = night.plan, night.firing.name
    if stage not in GIVEN:
        spec = plan.spec
        if night.learned:  # else each night would begin with random values, and without its champion
            spec = {**spec, "space": {**night.learned, **(spec.get("space") or {})}}
        return replace(plan, name=name, stage=stage, spec=spec)
    spec = {key: value for key, value in plan.spec.items() if key not in _OF_A_SEARCH}
    return replace(plan, name=f"{name}/{stage}", stage=stage, spec=spec, parallel=spec.get("parallel"))


def given(night: Night, stage: Stage, points: tuple[Suggestion, ...]) -> StageOpening:
    """A stage that runs these points, or goes on with them."""
    return StageOpening(stage, stage_study(night, stage), points)


def point(params: Params, source: Source, seed: int, reason: str, **more: Any) -> Suggestion:
    """One trial that is given."""
    return Suggestion(params, source, Provenance(By.NIGHT, reason=reason, more=more).written(), seed)


def seed_of(night: Night, purpose: str, place: int) -> int:
    """A seed of its own for each firing, purpose and place: the same whenever it is asked for. 31 bits."""
    spec_seed = night.plan.spec.get("seed", 0)
    slice_ = _text(night.firing.slice)
    asked = f"{spec_seed}:{night.firing.schedule}:{slice_}:{night.firing.due_at.isoformat()}:{purpose}:{place}"
    return int.from_bytes(hashlib.sha256(asked.encode()).digest()[:4], "big") >> 1


def _text(slice_: Mapping[str, Any]) -> str:
    return ",".join(f"{key}={slice_[key]}" for key in sorted(slice_))
