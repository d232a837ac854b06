"""Can this host write where its trials write? A mount that is missing, read-only or another user's costs checkpoints
and log files,
and trials run on without: so it is told where an operator looks, in the host's row, and not only in each trial's log.

Looked at when the node starts, then only while something is wrong: a network mount that hangs later must not hang the
node.
"""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

AGAIN_S = 30.0


@dataclass(slots=True)
class WritableDirs:
    """Directories by what they are for; `flaw` remembers what the last look found."""

    roots: Sequence[tuple[str, Path]]
    _flaw: str = ""
    _look_at: float | None = 0.0

    def flaw(self, now: float) -> str:
        """What cannot be written, and why; "" when all is well. `now` is the monotonic clock."""
        if self._look_at is not None and now >= self._look_at:
            found = "; ".join(filter(None, (flaw_of(what, root) for what, root in self.roots)))
            if found != self._flaw:
                log.warning("%s", found or "checkpoints and logs can be written again")
            self._flaw, self._look_at = found, now + AGAIN_S if found else None
        return self._flaw


def flaw_of(what: str, root: Path) -> str:
    """Why nothing can be written below `root`, which is made where it is not there; "" when a file can."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            return ""
    except OSError as error:
        return f"cannot write {what} below {root}: {error.strerror}"
