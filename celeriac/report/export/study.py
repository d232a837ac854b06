"""What an export is made of: the study's row, its spec, and its trials with all they reported, by number."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from celeriac.domain.errors import ExtraMissing
from celeriac.domain.records import Report, StudyRecord, TrialRecord
from celeriac.domain.study_file import StudySpec


@dataclass(frozen=True, slots=True)
class Exported:
    """A study to write out. `trials` is read once, page by page."""

    record: StudyRecord
    spec: StudySpec
    trials: Iterable[tuple[TrialRecord, Sequence[Report]]]


def lacking(error: ModuleNotFoundError) -> ExtraMissing:
    """The error of a tool whose library is not here."""
    return ExtraMissing(f"{error.name} is not installed here: pip install 'celeriac[export]'")


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Those of the metrics that a tool can draw: finite numbers."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    }


def plain_cell(value: Any) -> Any:
    """A value as a column can hold it: what is no number, text, truth or moment is JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list, tuple)) else value
