"""Earlier nights and sister slices, as a sampler gets them: a separate input, never mixed with tonight's observations.

Their scores are never compared with tonight's. What a model takes from them is where each trial stood within its own
night (`coordinator.samplers.standing`).
"""

from dataclasses import dataclass

from coordinator.samplers.api import Observation


@dataclass(frozen=True, slots=True)
class EarlierStudy:
    """What an earlier study found, its points those of tonight's space.

    `gap`: how many nights before tonight it was, 0 for a sister of the same night; `is_sister`: it is another slice's.
    """

    study_id: int
    gap: int
    is_sister: bool
    observations: tuple[Observation, ...]
