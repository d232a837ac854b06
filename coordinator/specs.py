"""The specs of the studies that are driven, read once each. Rule: a cache; the study's row is the truth."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from celeriac.domain.records import StudyRecord
from celeriac.domain.study_file import StudySpec, parse

MOST_STUDIES = 256


class Specs:
    """The specs of the studies driven last."""

    def __init__(self, most: int = MOST_STUDIES) -> None:
        self._most = most
        self._kept: OrderedDict[int, tuple[Mapping[str, Any], StudySpec]] = OrderedDict()

    def of(self, study: StudyRecord) -> StudySpec:
        """The study's spec. Raises SpecInvalid when it cannot be read by this version."""
        written, spec = self._kept.get(study.id, ({}, None))
        if spec is None or written != study.spec:
            spec = parse(study.spec, f"study {study.name}")
        self._kept[study.id] = (study.spec, spec)
        self._kept.move_to_end(study.id)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return spec
