"""The bench of connections on two slots: what it counts is there, and a slot at rest holds none."""

import pytest

from benchmarks.fleet import connections
from celeriac.store.capacity import connections_needed

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.proof]


@pytest.mark.timeout(240)
def test_a_small_stack_holds_few_connections_and_none_at_rest() -> None:
    figures = connections.measure(2, each=2, trial_s=1.0)
    assert figures["trials"] == 4
    assert 0 < figures["status_answered"] == figures["status_asked"]
    assert figures["at_rest"] <= 8  # coordinator and clock, two each; the node; one that is just closing
    assert figures["at_rest"] < figures["peak"] <= connections_needed(2) <= figures["limit"]
    only_late = {**figures, "ratio": 2.0}
    assert connections.broken({**figures, "ratio": 1.0}) == []
    assert len(connections.broken(only_late)) == 1
