"""A study asked for and waited for, in one call: on the service that answers, or on one that is started for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from celeriac.client.client import Client, SpecLike
from celeriac.client.embedded import attached, ensure_service
from celeriac.client.progress import line_of
from celeriac.client.study import Study
from celeriac.runtime.settings import Settings


def ran(
    spec: SpecLike,
    *,
    home: str | Path | None = None,
    slots: int = 0,
    timeout: float | None = None,
    say: Callable[[str], None] = lambda line: None,
    changed: Callable[[Study, str], None] | None = None,
) -> Study:
    """The closed study. `say` gets a line where a service is started, `changed` the study and a line of how far it is
    whenever that line is another. Over the API (`CELERIAC_URL`) nothing is started, and the code must lie on the
    service's hosts.

    Raises what `Client.submit` and `Study.wait` raise; the study itself goes on then.
    """
    settings = Settings.from_env(home=None if home is None else Path(home))
    with _service(settings, slots, say) as client:
        study = client.submit(spec)
        seen = ""

        def look() -> None:
            nonlocal seen
            line = line_of(client.progress(study))
            if changed is not None and line != seen:
                changed(study, line)
            seen = line

        return study.wait(timeout, look=look if changed else lambda: None)


@contextmanager
def _service(settings: Settings, slots: int, say: Callable[[str], None]) -> Iterator[Client]:
    """The service over the API, or one of this machine that is held up for the block."""
    if settings.url:
        yield Client(settings)
        return
    with attached(settings):
        yield Client(ensure_service(settings, slots=slots, say=say))
