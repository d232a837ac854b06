"""How numbers, durations and tails are written, and that tables keep their columns."""

import math
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.cli import screen, text
from celeriac.cli.json_output import dump
from celeriac.cli.log_follow import grown
from celeriac.cli.screen import Grid, aligned
from celeriac.domain.records import Counts
from celeriac.domain.study_file import seconds_of
from celeriac.report.plain import plain
from tests.celeriac.report.explain.rows import trial


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
def test_a_span_is_written_in_two_units_at_most(seconds: float | None, written: str) -> None:
    assert text.span(seconds) == written


@pytest.mark.parametrize(("written", "seconds"), [("30d", 2_592_000), ("1.5h", 5400), ("90", None), ("d", None)])
def test_ages_are_read(written: str, seconds: float | None) -> None:
    assert seconds_of(written) == seconds


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


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("\x1b[31mred\x1b[0m\tplain\r\n", "\x1b[31mred\x1b[0m\tplain\r\n"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]52;c;c2VjcmV0\x1b\\text", "text"),
        ("\x1b[2J\x1b[Htext\x1b[?1049h", "text"),
        ("a\x08b\x9b2Jc\x1bc", "ab2Jc"),
        ("\x1bP1;2|payload\x1b\\text", "text"),
        ("\u00fcber \u2588", "\u00fcber \u2588"),
    ],
)
def test_what_a_trial_printed_keeps_its_colours_and_takes_hold_of_nothing(printed: str, shown: str) -> None:
    assert text.harmless(printed) == shown


def test_a_fault_or_a_reason_takes_hold_of_no_terminal_either(capsys: pytest.CaptureFixture[str]) -> None:
    """A trial's exception and a token's `reason` are read on the terminal of whoever operates the service."""
    wild = "boom\x1b]52;c;cm0gLXJmIC8=\x07 \x1b[2J\x1b[31mred"
    screen.show(screen.Grid(("detail",), [[wild]]))
    screen.say(wild)
    screen.remark(wild)
    told = capsys.readouterr()
    assert told.out == "detail\nboom red\nboom red\n"
    assert told.err == "boom red\n"


def test_a_trials_repr_is_one_short_line() -> None:
    repred = repr(trial(3, {"lr": 0.1}, 0.123456789))
    assert repred == "TrialRecord(number=3, state=SCORED, score=0.123457, params={'lr': 0.1})"


def test_a_shell_can_complete_the_commands() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "celeriac.cli"],
        env={**os.environ, "_CELERIAC_COMPLETE": "complete_bash", "COMP_WORDS": "celeriac ex", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert sorted(ran.stdout.split()) == ["export", "extend"]
