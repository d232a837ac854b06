"""The states of a trial's process as a table, for both of its ends. Rule: every change of a state goes through
`celeriac.domain.lifecycle.moved`.

The runner's end (`worker.process.trial_process`) moves by the server's packets, the child's frames, an end of file and
a kill; the server's end (`worker.process.server`) by what it forks, hands out and reaps.
"""

from collections.abc import Mapping
from enum import StrEnum


class ProcessState(StrEnum):
    """Where a trial's process stands."""

    ATTACHING = "attaching"  # none is there yet: its server starts, or is about to fork it
    READY = "ready"  # forked, and waiting for its job
    RUNNING = "running"  # it has the job, and may report
    TOLD = "told"  # it has said its last word or is gone itself; what it leaves behind is being ended
    ENDED = "ended"  # no process of the trial is left


class ProcessEvent(StrEnum):
    """What can happen to a trial's process."""

    FORK = "fork"  # it is there
    BEGIN = "begin"  # runner: its `started` frame; server: it was taken for a trial
    CONCLUDE = "conclude"  # runner: its last frame, or one that is none; server: the process itself was reaped
    REPLACE = "replace"  # its server went before it began: another server makes another process
    END = "end"  # nothing of the trial is left


_S, _E = ProcessState, ProcessEvent

PROCESS_TRANSITIONS: Mapping[ProcessState, Mapping[ProcessEvent, ProcessState]] = {
    _S.ATTACHING: {_E.FORK: _S.READY, _E.REPLACE: _S.ATTACHING, _E.END: _S.ENDED},
    _S.READY: {_E.BEGIN: _S.RUNNING, _E.CONCLUDE: _S.TOLD, _E.REPLACE: _S.ATTACHING, _E.END: _S.ENDED},
    _S.RUNNING: {_E.CONCLUDE: _S.TOLD, _E.END: _S.ENDED},
    _S.TOLD: {_E.END: _S.ENDED},
    _S.ENDED: {},
}

#: The frames that a child may send in each state, with what they do to it. Any other breaks the channel.
FRAMES: Mapping[ProcessState, Mapping[str, ProcessEvent | None]] = {
    _S.READY: {"started": _E.BEGIN},
    _S.RUNNING: {"report": None, "result": _E.CONCLUDE, "stopped": _E.CONCLUDE, "fault": _E.CONCLUDE},
}
