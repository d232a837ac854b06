"""A suggestion is replayed from its row, whichever version wrote it.

`golden/studies_of_0_1.json` holds two studies as version 0.1 wrote them, with failures, four slots and trials suggested
anew. Those rows also list which trials were pending, which today's follow from their place.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from celeriac.domain.records import Fault, Source, TrialState
from coordinator.suggest.replay import replayed
from tests.celeriac.decide.records import trial
from tests.coordinator.house import House, open_study

STUDIES: list[Any] = json.loads(Path(__file__).with_name("golden").joinpath("studies_of_0_1.json").read_text())


@pytest.mark.parametrize("recorded", STUDIES, ids=[each["spec"]["study"] for each in STUDIES])
def test_rows_of_version_0_1_are_replayed_as_they_were_suggested(recorded: Any) -> None:
    house = House(slots=0)
    store = house.store
    study = open_study(store, **recorded["spec"])
    for row in recorded["trials"]:
        enums = {"state": TrialState(row["state"]), "source": Source(row["source"])}
        fault = None if row["fault"] is None else Fault(row["fault"])
        kept = trial(**{**row, **enums, "fault": fault, "study_id": study.id})
        store._rows.trials[study.id, kept.number] = kept
    count = len(recorded["trials"])
    store._rows.studies[study.id] = replace(study, next_number=count)

    suggested = [row for row in recorded["trials"] if row["source"] == "suggested"]
    assert len(suggested) == count - 1
    assert sum(row["fault"] is not None for row in recorded["trials"]) >= 3
    for row in suggested:
        assert replayed(store, study.id, row["number"]) == row["params"], row["number"]
        then = store.trial(study.id, row["number"]).provenance.known_then(row["number"])
        assert then is not None
        pending = store.pending(study.id, observed=then[0], below=then[1])
        assert [each.number for each in pending] == row["why"]["pending"]
