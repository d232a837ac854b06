"""A library that is not installed is told with the extra that brings it."""

from collections.abc import Iterator
from contextlib import contextmanager

from celeriac.domain.errors import ExtraMissing


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around the import of what the extra brings. Raises ExtraMissing where it is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ExtraMissing(f"{error.name} is not installed here: pip install 'celeriac[{name}]'") from error
