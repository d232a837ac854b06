"""Which share fits: by figures, and nothing where there are none."""

from celeriac.decide.advise import advise
from celeriac.domain.records.placing import ShareFigures

GIB = 2**30


def test_a_share_is_advised_where_it_brings_more_trials_an_hour() -> None:
    alone, shared = ShareFigures(1.0, 5, 100.0, 10 * GIB), ShareFigures(0.25, 20, 200.0, 9 * GIB)
    found = advise([shared, alone], 80 * GIB, 4)
    assert (found.share, found.parallel) == (0.25, 4)
    assert found.reasons[-1] == "sharing brings 100% more trials an hour"
    assert any("10.0 GiB at most; with a margin 12.0 GiB, so 6 fit a GPU of 80 GiB" in each for each in found.reasons)


def test_a_whole_gpu_is_advised_where_trials_only_slow_each_other_down() -> None:
    found = advise([ShareFigures(0.5, 20, 199.0, GIB), ShareFigures(1.0, 5, 100.0, GIB)], 80 * GIB, 4)
    assert (found.share, found.parallel) == (1.0, 1)


def test_what_was_not_measured_is_said() -> None:
    assert advise([], 80 * GIB, 4).share is None
    only = advise([ShareFigures(1.0, 5, 100.0, 20 * GIB)], 80 * GIB, 4)
    assert (only.share, only.parallel) == (1.0, 1)
    assert "have some trials run at a share of 0.33 as well" in only.reasons[-1]
    assert "not measured" in advise([ShareFigures(1.0, 5, 100.0, 0)], 80 * GIB, 4).reasons[-1]


def test_a_share_counts_for_as_many_as_really_run_at_once() -> None:
    alone, shared = ShareFigures(1.0, 5, 100.0, 10 * GIB), ShareFigures(0.25, 20, 110.0, 10 * GIB)
    found = advise([shared, alone], 80 * GIB, 1)
    assert (found.share, found.parallel) == (1.0, 1), "its host lets one run on a GPU at once"
    assert "took 110 s on average, 1 at once: 32.7 an hour and GPU" in found.reasons[0]
    assert "no more than 1 run on a GPU at once: CELERIAC_SLOTS_PER_GPU" in found.reasons[2]
    assert advise([shared, alone], 24 * GIB, 4).parallel == 2, "memory is for two"
    assert advise([shared, alone], 0, 0).share is None
