"""A slot that died in a gang's round imports its code again while its worker starts, and an elastic gang goes on
meanwhile.
"""

import pytest

from celeriac.domain.messages import JoinGang
from celeriac.domain.records import Lease
from tests.worker.conftest import OBJECTIVES, Bench
from worker.attempt.warm import await_warm, noted, warm_up


def leased(bench: Bench, objective: str, resources: dict[str, object]) -> Lease:
    """The lease of a study's first trial; it is asked for as a plain one, for the note looks at the plan alone."""
    ticket = bench.ticket(bench.study(objective, resources=resources))
    found = bench.store.lease(
        ticket.study, ticket.trial, 1, worker=bench.context.slot.name, device="cpu-testhost", lease_s=30.0
    )
    assert isinstance(found, Lease)
    return found


def died_in(lease: Lease, bench: Bench) -> None:
    """The slot's process ends by a kill while it runs this: the note stays."""
    path = bench.settings.log_root / f"gang-{bench.context.slot.name}.json"
    with noted(lease, bench.context):
        kept = path.read_text()
    assert not path.exists(), "who ends by itself leaves nothing"
    path.write_text(kept)


def test_what_a_slot_ran_when_it_died_is_imported_before_its_next_ticket(bench: Bench) -> None:
    lease = leased(bench, "quick:good", {"gpus": 0, "slots": {"min": 1, "max": 2}})
    died_in(lease, bench)
    note = bench.context.warming = warm_up(bench.context)
    assert note is not None
    assert (note.study, note.is_elastic, note.code.root) == (lease.study_id, True, str(OBJECTIVES))
    assert warm_up(bench.context) is None, "once"
    await_warm(JoinGang(lease.study_id, 0, 2), bench.context)
    assert bench.context.servers.is_warm(note.code)
    assert bench.context.warming is None


def test_only_a_gang_that_may_be_smaller_does_without_a_slot_that_imports(bench: Bench) -> None:
    fixed = leased(bench, "quick:good", {"gpus": 0, "slots": 2})
    died_in(fixed, bench)
    bench.context.warming = warm_up(bench.context)
    await_warm(JoinGang(fixed.study_id, 0, 2), bench.context)
    assert bench.context.warming is not None, "it did not wait: the others cannot begin without it"


def test_code_that_is_another_by_now_is_not_imported(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = leased(bench, "quick:good", {"gpus": 0, "slots": 2})
    died_in(lease, bench)
    monkeypatch.setattr(type(bench.context.fingerprints), "of", lambda *_, **__: "0" * 8)
    assert warm_up(bench.context) is None
