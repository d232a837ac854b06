"""How the runner and a trial's process speak: frames of a 4-byte length and a JSON object, over one Unix stream
socket.

Runner to child: `job` once, then `control` with the word "stop", "preempt" or "regroup" (pre-empted at the next
checkpoint, so that more can join), with the number of a `trial` where one of a pack is meant. Child to runner:
`started`, `report`s, `plan` where the script cuts its batch, `asked` for each parameter that an objective written for
Optuna asks for, `scored` where a model is to be written after the score, and at the end one of `result`, `stopped` or
`fault`. A pack's process sends these as the `frame` of a `member`, and at its own end `packed`, or the `fault` of all.
A frame holds at most 1 MiB: scores and metrics, never data.

Where the process stands is a table for both of its ends, and every change of a state goes through
`celeriac.domain.lifecycle.moved`. The runner's end moves by the server's packets, the child's frames, an end of file
and a kill; the server's end by what it forks, hands out and reaps.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MAX_FRAME_BYTES = 1 << 20
#: The exit code of a child that cannot tell its end any more (sysexits' EX_PROTOCOL).
CHANNEL_LOST = 76
_LENGTH = struct.Struct(">I")


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
    _S.RUNNING: {
        "report": None,
        "plan": None,
        "asked": None,
        "scored": None,
        "member": None,
        "packed": _E.CONCLUDE,
        "result": _E.CONCLUDE,
        "stopped": _E.CONCLUDE,
        "fault": _E.CONCLUDE,
    },
}


#: The frames of one trial of a pack, and those of them that are its last.
OF_MEMBER = frozenset({"report", "plan", "scored", "result", "stopped", "fault"})


@dataclass(frozen=True, slots=True)
class MemberJob:
    """One trial of a pack, as the child gets it; its fields are as those of `Job`."""

    number: int
    attempt: int
    params: Mapping[str, Any]
    seed: int
    checkpoint_dir: str
    checkpoint: str | None = None
    judged: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt, as the child gets it. `checkpoint_dir` is relative to `checkpoint_root`; `checkpoint` is a full
    path.

    `judged`: the trial may be stopped early, so each report is answered (`TrialProcess.answer`), and waits a moment
    for it. `keep_model`: its model is to be written, of `model_bytes` at most. `environment`: of a gang's member, what
    torchrun would tell it. `most_samples`: a batch plan takes no more at once, for memory ran out with more.
    `gpu_memory_bytes`: what it may hold of its GPU's memory; 0: all of it. `learn_space`: the study's space takes in
    what the objective asks for. `members`: the trials of a pack; what they have in common is the job's, which is that
    of the first.
    """

    study: str
    number: int
    attempt: int
    params: Mapping[str, Any]
    seed: int
    device: str
    checkpoint_root: str
    checkpoint_dir: str
    context: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: str | None = None
    start: int = 0
    judged: bool = False
    keep_model: bool = False
    model_bytes: int = 0
    rank: int = 0
    world: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    most_samples: int | None = None
    gpu_memory_bytes: int = 0
    learn_space: bool = False
    members: tuple[MemberJob, ...] = ()


class FrameTooLarge(ValueError):
    """What was to be sent does not fit into a frame."""


def encode(message: dict[str, Any], limit_bytes: int = MAX_FRAME_BYTES) -> bytes:
    """One frame. Raises FrameTooLarge, naming the message's kind and both sizes."""
    body = json.dumps(message, separators=(",", ":")).encode()
    if len(body) > limit_bytes:
        raise FrameTooLarge(
            f"a {message.get('kind', 'message')} of {len(body):,} bytes is over the limit of {limit_bytes:,}: "
            "keep data in files and send numbers"
        )
    return _LENGTH.pack(len(body)) + body


class Inbox:
    """Turns a stream's bytes, however they were cut, back into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def unfinished(self) -> bool:
        """Whether the stream has stopped inside a frame, so far."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The messages that `data` completes, one by one. Raises ValueError at bytes that no encoder of ours wrote."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._buffer)
            if size > MAX_FRAME_BYTES:
                raise ValueError(f"a frame of {size:,} bytes: not the protocol of a trial's process")
            end = _LENGTH.size + size
            if len(self._buffer) < end:
                break
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield _object(body)


def _object(body: bytes) -> dict[str, Any]:
    message = json.loads(body)
    if not isinstance(message, dict):
        raise ValueError(f"a frame holds {type(message).__name__}, not an object")
    return message
