"""A sampler whose every question kills its process, as a host does that is out of memory."""

import os
import signal
from typing import Any


def suggest(*question: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
