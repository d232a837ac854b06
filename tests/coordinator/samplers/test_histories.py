"""The same history gives the same suggestions, in every version: compared with what was recorded once.

`golden/suggestions.json` holds the sampler of each history, and of each suggestion the parameters and how they were
found (`by`), floats to 12 digits. It was recorded before the samplers' modules got the names that they have now. A
change that means to suggest otherwise records it anew and says so in the changelog, since studies that run then go on
otherwise.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from coordinator.samplers import sampler_for
from tests.coordinator.samplers.histories import SAMPLERS, Past, histories

RECORDED: list[Any] = json.loads(Path(__file__).with_name("golden").joinpath("suggestions.json").read_text())


def test_every_history_was_recorded() -> None:
    assert [sampler for sampler, _ in RECORDED] == list(SAMPLERS)
    assert len(RECORDED) == 150


@pytest.mark.parametrize("sampler", sorted(set(SAMPLERS)))
def test_suggestions_are_those_that_were_recorded(sampler: str) -> None:
    for number, (past, (_, recorded)) in enumerate(zip(histories(), RECORDED, strict=True)):
        if past.sampler == sampler:
            assert _suggested(past) == recorded, f"history {number}"


def _suggested(past: Past) -> list[Any]:
    made = sampler_for(past.sampler)(past.space, past.observations, past.pending, past.count, past.seed)
    return [[{name: _rounded(value) for name, value in p.params.items()}, p.how.get("by", "")] for p in made]


def _rounded(value: Any) -> Any:
    return float(f"{value:.12g}") if isinstance(value, float) else value
