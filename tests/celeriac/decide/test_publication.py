"""Which version becomes current, and which may go."""

from datetime import UTC, datetime, timedelta

from celeriac.decide.publication import old_versions, place_of, publication

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_versions_go_forward_only() -> None:
    first, again, late, next_ = publication(5, None), publication(5, 5), publication(5, 6), publication(6, 5)
    assert [each.advance for each in (first, again, late, next_)] == [True, False, False, True]
    assert [each.pack for each in (first, again, late, next_)] == [True, False, False, True]
    assert (again.reason, late.reason) == ("published already", "version 6 came later and is published")


def test_a_slice_has_a_place_of_its_own() -> None:
    assert place_of("flights", {"airport": "JFK", "year": 2013}) == "champions/flights/airport=JFK,year=2013"
    assert place_of("flights", {}) == "champions/flights/all"


def test_the_current_version_and_the_one_before_it_never_go() -> None:
    old = {version: NOW - timedelta(days=40) for version in (3, 5, 8, 9)}
    assert old_versions(old, 8, NOW) == [3]
    assert old_versions(old, 9, NOW) == [3, 5]
    assert old_versions(old, None, NOW) == []
    assert old_versions({**old, 3: NOW, 5: None}, 9, NOW - timedelta(days=1)) == []
    assert old_versions({3: NOW - timedelta(days=40)}, 3, NOW) == []
