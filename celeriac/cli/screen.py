"""Where output goes: colours and boxes on a terminal, plain aligned text anywhere else. Data on stdout, remarks on
stderr.

Nothing that a user or a trial wrote is read as markup.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: The colour of each state's word on a terminal.
STYLE_OF = {
    "RUNNING": "cyan",
    "DONE": "green",
    "SCORED": "green",
    "PRUNED": "magenta",
    "PAUSED": "yellow",
    "STOPPED": "yellow",
    "CANCELLED": "yellow",
    "FAILED": "red",
    "ok": "green",
    "warn": "yellow",
    "fail": "red",
}


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: its columns, those of them that hold numbers, and its rows.

    `folds`: columns of free text, which go on in the next line where a terminal is narrow; the last column always may.
    `spare`: columns that a terminal too narrow for all does without, in that order.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[str] = field(default_factory=frozenset)
    folds: frozenset[str] = field(default_factory=frozenset)
    spare: tuple[str, ...] = ()

    def may_fold(self, column: str) -> bool:
        """Whether this column's cells may take several lines."""
        return column in self.folds or column == self.columns[-1]

    def without(self, column: str) -> "Grid":
        """The table without this column."""
        i = list(self.columns).index(column)
        rows = [[*row[:i], *row[i + 1 :]] for row in self.rows]
        return replace(self, columns=[*self.columns[:i], *self.columns[i + 1 :]], rows=rows)


#: A column that folds gets so many characters before another column is given up, and `_GAP` stand between two columns.
_FOLDED, _GAP = 24, 3


def fitted(grid: Grid, width: int) -> Grid:
    """The table without as many of its spare columns as this width has no room for."""
    for column in grid.spare:
        if _least_width(grid) <= width:
            break
        grid = grid.without(column)
    return grid


def _least_width(grid: Grid) -> int:
    from rich.cells import cell_len

    natural = [max(map(cell_len, cells)) for cells in zip(grid.columns, *grid.rows, strict=True)]
    least = [min(w, _FOLDED) if grid.may_fold(c) else w for c, w in zip(grid.columns, natural, strict=True)]
    return sum(least) + _GAP * len(least)


def is_terminal() -> bool:
    """Whether a person looks at stdout."""
    return sys.stdout.isatty()


def console() -> "Console":
    """The terminal, as rich sees it."""
    from rich.console import Console

    return Console(markup=False, highlight=False, emoji=False)


def say(text: str, style: str = "") -> None:
    """One text on stdout."""
    if is_terminal():
        console().print(text, style=style or None, soft_wrap=True)
    else:
        print(text)


def remark(text: str) -> None:
    """A word to the person at the keyboard, on stderr, so that stdout holds only what was asked for."""
    print(text, file=sys.stderr, flush=True)


def show(grid: Grid) -> None:
    """A table on stdout: boxed and cut to the width on a terminal, whole and aligned elsewhere."""
    if is_terminal():
        fits = fitted(grid, console().width)
        console().print(boxed(fits))
        if left_out := [column for column in grid.columns if column not in fits.columns]:
            remark(f"Not shown in this width: {', '.join(left_out)}.")
        return
    for line in aligned(grid):
        print(line)


def boxed(grid: Grid) -> "Table":
    """The table for a terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in grid.columns:
        folds = grid.may_fold(column)
        justify = "right" if column in grid.numeric else "left"
        table.add_column(column, justify=justify, overflow="fold" if folds else "ellipsis", no_wrap=not folds)  # type: ignore[arg-type]
    for row in grid.rows:
        table.add_row(*(Text(cell, style=STYLE_OF.get(cell, "")) for cell in row))
    return table


def aligned(grid: Grid) -> list[str]:
    """The table as plain lines."""
    rows = [list(grid.columns), *(list(map(_on_one_line, row)) for row in grid.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(grid.columns))]

    def cell(text: str, i: int) -> str:
        return text.rjust(widths[i]) if grid.columns[i] in grid.numeric else text.ljust(widths[i])

    return ["  ".join(cell(text, i) for i, text in enumerate(row)).rstrip() for row in rows]


def _on_one_line(text: str) -> str:
    return " ".join(text.split("\n"))
