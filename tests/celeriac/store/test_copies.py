"""The contract on what goes into a store and comes out of it, kept by both: nobody holds a piece of what is kept."""

from copy import deepcopy
from typing import Any

from celeriac.store import Store
from tests.celeriac.store.scenes import SPEC, leased, new_study, queued, scored


def test_who_changes_what_it_gave_or_got_changes_nothing_that_is_kept(any_store: Store) -> None:
    spec: dict[str, Any] = deepcopy(SPEC)
    opened = any_store.create_study(new_study(spec=spec))
    kept = deepcopy(any_store.study(opened.id))
    spec["budget"]["trials"] = 9
    got: Any = any_store.study(opened.id).spec
    got["budget"]["trials"] = 10
    assert any_store.study(opened.id) == kept
    study = queued(any_store, 1)
    metrics: dict[str, Any] = {"by": [1, 2]}
    any_store.finish_attempt(leased(any_store, study, 0).token, scored(0.5, metrics=metrics))
    metrics["by"].append(3)
    for trial in any_store.trials(study.id):
        trial.metrics["by"].append(4)
    assert any_store.trial(study.id, 0).metrics == {"by": [1, 2]}
