"""Asking the coordinator as a program: `python -m coordinator …` prints JSON and ends. A door does not import it, since
it may not be installed where the door is.
"""

import json
import subprocess
import sys
import threading
from typing import Any

from celeriac.domain.errors import Busy, CallerError, CeleriacError, ExtraMissing
from celeriac.runtime.process.secrets import inherited_secrets
from celeriac.runtime.settings import Settings

#: So long, and so many at once.
PATIENCE_S = 5.0
_AT_ONCE = threading.Semaphore(2)


def ask_coordinator(settings: Settings, *words: str, what: str, given: str = "") -> Any:
    """What it prints when it is asked `words`, on the database of these settings; `given` is what it reads.

    Raises CallerError with its own words when it refuses, ExtraMissing when it is not installed here, CeleriacError
    when it fails; `what` is then said to have failed. Busy where this process asks several times at once already:
    each is a program of 100 MB.
    """
    if not _AT_ONCE.acquire(timeout=PATIENCE_S):
        raise Busy(f"{what} waits behind others: ask again in a moment")
    try:
        done = _ran(settings, words, given)
    finally:
        _AT_ONCE.release()
    told = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    if done.returncode == 2:
        raise CallerError(told.removeprefix(f"coordinator {words[0]}: "))
    if "No module named" in told:
        raise ExtraMissing(
            f"{what} needs the coordinator's program, which is not installed here"
            f" (`pip install 'celeriac[coordinator]'`): {told[:200]}"
        )
    if done.returncode:
        raise CeleriacError(f"{what} failed: {told[:200]}")
    return json.loads(done.stdout)


def _ran(settings: Settings, words: tuple[str, ...], given: str) -> "subprocess.CompletedProcess[str]":
    with inherited_secrets(settings) as secrets:
        command = [sys.executable, "-P", "-m", "coordinator", "--home", str(settings.home), *words]
        return subprocess.run(command, input=given, capture_output=True, text=True, **secrets)
