"""Asking the coordinator as a program: `python -m coordinator …` prints JSON and ends. A door does not import it, since
it may not be installed where the door is.
"""

import json
import os
import subprocess
import sys
from typing import Any

from celeriac.domain.errors import CallerError, CeleriacError, ExtraMissing
from celeriac.runtime.process.secrets import environment_without, secrets_descriptor
from celeriac.runtime.settings import Settings, inherited


def ask_coordinator(settings: Settings, *words: str, what: str, given: str = "") -> Any:
    """What it prints when it is asked `words`, on the database of these settings; `given` is what it reads.

    Raises CallerError with its own words when it refuses, ExtraMissing when it is not installed here, CeleriacError
    when it fails; `what` is then said to have failed.
    """
    descriptor = secrets_descriptor(settings, "database_url", "broker_url")
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "coordinator", "--home", str(settings.home), *words],
            input=given,
            capture_output=True,
            text=True,
            pass_fds=[descriptor],
            env=environment_without(inherited({}), descriptor),
        )
    finally:
        os.close(descriptor)
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
