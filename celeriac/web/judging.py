"""Which parameters mattered, judged by a program of its own (`celeriac.web.judge`), one at a time: what it stands on
takes 120 MB and seconds of a core, and this process answers everybody.
"""

import json
import os
import subprocess
import sys
import threading

from celeriac.client.remote.decoding import record_from
from celeriac.domain.errors import Busy, CallerError, ExtraMissing
from celeriac.report.explain.importance import Importances, Method
from celeriac.runtime.process.secrets import inherited_secrets
from celeriac.runtime.settings import Settings
from celeriac.web.judge import LACKS

_NICE = 10
_ONE = threading.Semaphore(1)


def judged(
    settings: Settings, study: str, method: Method = "ped-anova", *, within_s: float, patience_s: float | None = None
) -> Importances:
    """What mattered in a study, judged within so long; waits `patience_s` (None: as long as it takes) for its turn.

    Raises Busy where others are judged meanwhile, CallerError where it takes longer or cannot be judged,
    ExtraMissing without Optuna.
    """
    if not _ONE.acquire(timeout=patience_s):
        raise Busy("other studies are being judged: ask again in a moment")
    try:
        done = _asked(settings, study, method, within_s)
    except subprocess.TimeoutExpired:
        raise CallerError(f"the importances of {study} were not judged within {within_s:.0f} s") from None
    finally:
        _ONE.release()
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1][:200]
        raise (ExtraMissing if done.returncode == LACKS else CallerError)(said)
    return record_from(Importances, json.loads(done.stdout))


def _asked(settings: Settings, study: str, method: str, within_s: float) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-P", "-m", "celeriac.web.judge", "--home", str(settings.home)]
    with inherited_secrets(settings, OMP_NUM_THREADS="1") as secrets:
        return subprocess.run(
            [*command, "--method", method, study],
            capture_output=True,
            text=True,
            timeout=within_s,
            preexec_fn=_yielding,
            **secrets,
        )


def _yielding() -> None:
    """Trials and pages go first."""
    os.nice(_NICE)
