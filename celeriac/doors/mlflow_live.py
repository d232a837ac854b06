"""`python -m celeriac.doors.mlflow_live`: write trials to MLflow as they end, where CELERIAC_MLFLOW_URI says.

One way, and beside everything else: no trial and no other program waits for it. A tracking server that is slow or away
holds up this program alone; what it missed is written when it is back, each trial once.
"""

import logging
import signal
import sys
import threading
from collections.abc import Callable

from celeriac.client import Client
from celeriac.client.study import Study
from celeriac.domain.errors import CeleriacError
from celeriac.report.export import Exported, exported
from celeriac.runtime.settings import Settings

log = logging.getLogger(__name__)

LOOK_S = 5.0
#: Studies that are looked at, the newest; and trials that are written at once.
MOST_STUDIES, PAGE = 100, 200

Write = Callable[[Exported], int]


class Follower:
    """Writes what has ended since the last look; how far each study is written is known to this process alone."""

    def __init__(self, client: Client, write: Write) -> None:
        self._client, self._write = client, write
        self._written: dict[int, int] = {}

    def look(self) -> int:
        """Write the trials that have ended since the last look; how many. One study's trouble does not keep others
        back.
        """
        count = 0
        for study in self._client.studies(MOST_STUDIES):
            try:
                count += self._follow(study)
            except Exception as error:
                log.warning("study %s is not written to MLflow now: %s", study.name, error)
        return count

    def _follow(self, study: Study) -> int:
        store, count = self._client.store, 0
        while trials := store.ended_since(study.id, self._written.get(study.id, 0), PAGE):
            told = store.reports_of(study.id, [each.number for each in trials])
            found = Exported(study.record, study.spec, [(each, told.get(each.number, [])) for each in trials])
            count += self._write(found)
            self._written[study.id] = trials[-1].ended_no or 0
        return count


def main() -> int:
    """Run until told to stop; returns the exit code: 0, or 2 where it cannot run as it is set up."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    told = threading.Event()
    for word in (signal.SIGTERM, signal.SIGINT):
        signal.signal(word, lambda *_: told.set())
    settings = Settings.from_env()
    try:
        client = Client(settings)
    except CeleriacError as error:
        sys.stderr.write(f"celeriac mlflow: {error}\n")
        return 2
    follower = Follower(client, lambda found: exported("mlflow", found, settings.mlflow_uri))
    while not told.is_set():
        try:
            if count := follower.look():
                log.info("%d trials written to MLflow", count)
        except CeleriacError as error:
            log.warning("the store does not answer: %s", error)
        told.wait(LOOK_S)
    return 0


if __name__ == "__main__":
    sys.exit(main())
