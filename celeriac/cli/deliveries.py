"""What became of promotions and nights outside the database, in lines: publications, hooks and mornings."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from celeriac.cli import text

if TYPE_CHECKING:
    from celeriac.domain.records import Delivery

_WHAT = {
    "publish": ("published", "not published"),
    "hook": ("hook", "hook has not come through"),
    "morning": ("morning sent", "morning not sent"),
}


def delivery_lines(deliveries: "Iterable[Delivery]") -> "Iterator[str]":
    """One line for each that was tried."""
    for each in deliveries:
        done, undone = _WHAT[each.kind]
        if each.done_at is not None:
            yield f"{done}: {each.detail}"
        elif each.tries:
            tries = "one try" if each.tries == 1 else f"{each.tries} tries"
            yield f"{undone} after {tries}, next at {text.moment(each.next_at)}: {each.detail or 'under way'}"
        else:
            yield f"{undone} yet"


def trouble(deliveries: "Iterable[Delivery]") -> "Iterator[str]":
    """A line for each that was tried and has not come through."""
    for each in deliveries:
        if each.done_at is None and each.tries and each.detail:
            where = f"{each.schedule} {text.assigned(each.slice)}".strip()
            about = f"promotion {each.promotion}" if each.promotion else f"night {each.night}"
            yield f"{where}: {about}: " + next(delivery_lines([each]))
