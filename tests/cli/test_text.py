"""How numbers, durations and tails are written, and that tables keep their columns."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.cli import text
from celeriac.cli.following import grown
from celeriac.cli.forms import dump, plain
from celeriac.cli.screen import Grid, aligned
from celeriac.records import Counts


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (None, "-"),
        (math.inf, "-"),
        (0, "0.0s"),
        (9.94, "9.9s"),
        (52.4, "52s"),
        (59.9, "1m 00s"),
        (3599.9, "1h 00m"),
        (7500, "2h 05m"),
        (90_000, "1d 1h"),
    ],
)
def test_spans(seconds: float | None, written: str) -> None:
    assert text.span(seconds) == written


@pytest.mark.parametrize(
    ("written", "seconds"), [("30d", 2_592_000), ("1.5h", 5400), ("90", None), ("d", None)]
)
def test_ages_are_read(written: str, seconds: float | None) -> None:
    assert text.seconds_of(written) == seconds


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_tail_that_grew_shows_what_is_new(before: str, new: str) -> None:
    assert grown(before, before + new) == new


def test_a_tail_that_moved_on_shows_what_is_new_and_a_gap_when_too_much_is() -> None:
    lines = [f"line {i}\n" for i in range(300)]
    assert grown("".join(lines[:200]), "".join(lines[50:210])) == "".join(lines[200:210])
    assert grown("".join(lines[:100]), "".join(lines[200:])) == "\n[…]\n" + "".join(lines[200:])


def test_a_table_is_aligned_and_a_cell_is_one_line() -> None:
    lines = aligned(Grid(("a", "n"), [("long", "1"), ("x\ny", "22")], frozenset({"n"})))
    assert lines == ["a      n", "long   1", "x y   22"]


def test_json_has_no_number_that_is_none() -> None:
    assert dump(plain({"x": float("nan"), "counts": Counts(waiting=1)})).count("null") == 1
