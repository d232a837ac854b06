"""Schedules by the Python API."""

from datetime import UTC, date, datetime

import pytest

from celeriac.client import Client
from celeriac.domain.errors import DuplicateStudy, SpecInvalid
from celeriac.runtime.broker import DRIVE_QUEUE
from tests.celeriac.cli.played import PLAN, SPEC


def test_a_schedule_file_is_no_study_and_a_study_file_no_schedule(client: Client) -> None:
    with pytest.raises(SpecInvalid, match="celeriac schedule add"):
        client.submit({**SPEC, **PLAN})
    with pytest.raises(SpecInvalid, match="has no `schedule:`"):
        client.add_schedule(SPEC)
    assert client.studies() == []


def test_a_schedule_is_replaced_only_when_asked_to_and_stays_paused(client: Client) -> None:
    row = client.add_schedule({**SPEC, **PLAN})
    assert row.slices == ({"r": "eu"}, {"r": "us"})
    assert row.next_due_at.astimezone(UTC) > client.store.now()
    client.store.pause_schedule("nightly", True)
    assert client.add_schedule({**SPEC, **PLAN}).next_due_at == row.next_due_at
    other = {**SPEC, **PLAN, "budget": {"trials": 5}}
    with pytest.raises(DuplicateStudy, match="--replace") as caught:
        client.add_schedule(other)
    assert caught.value.difference == ["budget.trials: 3 -> 5"]
    replaced = client.add_schedule(other, replace_it=True)
    assert (replaced.paused, replaced.spec["budget"]["trials"]) == (True, 5)


def test_fire_opens_each_slice_once_for_a_due_time(client: Client) -> None:
    client.add_schedule({**SPEC, **PLAN})
    studies = client.fire("nightly", date(2013, 10, 1))
    due_at = datetime(2013, 10, 1, 0, 0, tzinfo=UTC)
    assert [study.record.due_at for study in studies] == [due_at, due_at]
    assert [study.name for study in studies] == ["nightly/r=eu/2013-10-01", "nightly/r=us/2013-10-01"]
    assert studies[0].record.slice == {"r": "eu"}
    assert client.fire("nightly", due_at) == []
    assert client.tickets.waiting(DRIVE_QUEUE) == 2
