"""Where output goes: colours and boxes on a terminal, plain aligned text anywhere else. Data on stdout, remarks on
stderr.

Nothing that a user or a trial wrote is read as markup, nor as orders to the terminal.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from celeriac.cli.text import harmless

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: The colour of each state's word on a terminal.
STYLE_OF = {
    "RUNNING": "cyan",
    "PROMOTED": "green",
    "KEPT": "green",
    "SKIPPED": "green",
    "LOOKING": "cyan",
    "SEARCHING": "cyan",
    "CONFIRMING": "cyan",
    "MISSED": "yellow",
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

    `folds`: columns that go on in the next line, between words, where a terminal is narrow; the last one always may.
    `spare`: columns that a terminal too narrow for all does without, in that order.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[str] = field(default_factory=frozenset)
    folds: frozenset[str] = field(default_factory=frozenset)
    spare: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # A fault's words are a script's, and a reason is whoever's: neither speaks to the terminal itself.
        object.__setattr__(self, "rows", [[harmless(cell, coloured=False) for cell in row] for row in self.rows])

    def may_fold(self, column: str) -> bool:
        """Whether this column's cells may take several lines."""
        return column in self.folds or column == self.columns[-1]

    def without(self, column: str) -> "Grid":
        """The table without this column."""
        i = list(self.columns).index(column)
        rows = [[*row[:i], *row[i + 1 :]] for row in self.rows]
        return replace(self, columns=[*self.columns[:i], *self.columns[i + 1 :]], rows=rows)


#: Words of free text that are longer may be broken (paths, say); no name ever is. `_GAP` stands between two columns.
_LONG, _GAP = 24, 3


def fitted(grid: Grid, width: int) -> Grid:
    """The table without as many of its spare columns as this width has no room for."""
    for column in grid.spare:
        if sum(_least(grid)) <= width:
            break
        grid = grid.without(column)
    return grid


def _natural(grid: Grid) -> list[int]:
    from rich.cells import cell_len

    return [max(map(cell_len, cells)) + _GAP for cells in zip(grid.columns, *grid.rows, strict=True)]


def _least(grid: Grid) -> list[int]:
    """What each column needs, so that no name in it is broken."""
    from rich.cells import cell_len

    least = _natural(grid)
    for i, column in enumerate(grid.columns):
        if grid.may_fold(column):
            words = [cell_len(word) for row in grid.rows for word in row[i].split()]
            longest = max([cell_len(column), *words])
            least[i] = _GAP + (longest if column in grid.folds else min(longest, _LONG))
    return least


def _widths(grid: Grid, width: int) -> list[int]:
    """What each column gets: what it needs, and an equal share of what is left, as far as it can use it."""
    widths, natural = _least(grid), _natural(grid)
    left = max(width - sum(widths), 0)
    wanting = sorted(range(len(widths)), key=lambda i: natural[i] - widths[i])
    for k, i in enumerate(wanting):
        more = min(natural[i] - widths[i], left // (len(wanting) - k))
        widths[i], left = widths[i] + more, left - more
    return [each - _GAP for each in widths]


def is_terminal() -> bool:
    """Whether a person looks at stdout."""
    return sys.stdout.isatty()


def console() -> "Console":
    """The terminal, as rich sees it."""
    from rich.console import Console

    return Console(markup=False, highlight=False, emoji=False)


def say(text: str, style: str = "") -> None:
    """One text on stdout."""
    text = harmless(text, coloured=False)
    if is_terminal():
        console().print(text, style=style or None, soft_wrap=True)
    else:
        print(text)


def remark(text: str) -> None:
    """A word to the person at the keyboard, on stderr, so that stdout holds only what was asked for."""
    print(harmless(text, coloured=False), file=sys.stderr, flush=True)


def show(grid: Grid, otherwise: str = "") -> None:
    """A table on stdout: boxed on a terminal, plain and aligned elsewhere; `otherwise` is said where it has no row.

    Where even the narrowest table is too wide, it is plain too: a line that the terminal breaks can still be copied.
    """
    if otherwise and not grid.rows:
        say(otherwise)
        return
    if is_terminal():
        width = console().width
        fits = fitted(grid, width)
        if sum(_least(fits)) <= width + _GAP:
            console().print(boxed(fits, width))
            if left_out := [column for column in grid.columns if column not in fits.columns]:
                remark(f"Not shown in this width: {', '.join(left_out)}.")
            return
    for line in aligned(grid):
        print(line)


def boxed(grid: Grid, width: int, *, one_line: bool = False) -> "Table":
    """The table for a terminal of that width; with `one_line` its cells are cut and not folded."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column, room in zip(grid.columns, _widths(grid, width), strict=True):
        justify = "right" if column in grid.numeric else "left"
        cut = "ellipsis" if one_line else "fold"
        table.add_column(column, justify=justify, width=max(room, 1), overflow=cut, no_wrap=one_line)  # type: ignore[arg-type]
    for row in grid.rows:
        table.add_row(*(Text(cell, style=STYLE_OF.get(cell, "")) for cell in row))
    return table


def aligned(grid: Grid) -> list[str]:
    """The table as plain lines."""
    rows = [list(grid.columns), *([cell.replace("\n", " ") for cell in row] for row in grid.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(grid.columns))]

    def cell(text: str, i: int) -> str:
        return text.rjust(widths[i]) if grid.columns[i] in grid.numeric else text.ljust(widths[i])

    return ["  ".join(cell(text, i) for i, text in enumerate(row)).rstrip() for row in rows]
