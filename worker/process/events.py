"""What the runner hears of a trial's process: one value an event, made from the process's frames.

A frame is what a process says that runs the user's code: everything in it is checked before it becomes an event.
"""

import math
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from celeriac.domain.errors import SpaceInvalid
from celeriac.domain.records import Artefact, Fault
from celeriac.domain.space import Space, parameter_to_dict
from celeriac.result import MOST_BLOCKS, MOST_INT
from celeriac.trial import PREEMPT, STOP
from worker.process.failure import Failed as Failed  # an event as well
from worker.process.failure import from_words

#: What a column of 32 bits holds.
MOST_SAMPLES = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Noted:
    """Something for the attempt's log, as that the objective runs with `isolation: fresh` and why."""

    text: str


@dataclass(frozen=True, slots=True)
class Started:
    """The child has its job, and calls the objective now."""

    pid: int


@dataclass(frozen=True, slots=True)
class Printed:
    """Output of the trial, stdout and stderr as they came."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Reported:
    """One report. `value` may be NaN. `checkpoint_error`: why the checkpoint asked for was not written."""

    step: int
    value: float
    metrics: Mapping[str, Any]
    checkpoint: Artefact | None = None
    checkpoint_error: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """The script cuts its batch by the plan: on one device it takes so many samples at once."""

    micro_batch: int


@dataclass(frozen=True, slots=True)
class Asked:
    """An objective written for Optuna asks for a parameter of this form, as a study file has it, and got this value."""

    name: str
    value: Any
    form: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Returned:
    """The objective returned a finite score; `holdout` and `drift` as `celeriac.Result` has them.

    `model`: the file that it has written below the checkpoint root; `model_error`: why there is none.
    """

    score: float
    metrics: Mapping[str, Any]
    step: int | None
    peak_memory_bytes: int = 0
    holdout: tuple[float, ...] = ()
    drift: float | None = None
    model: Artefact | None = None
    model_error: str = ""
    gpu_peak_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Scored:
    """The objective has returned, and its model is being written: the score counts, whatever becomes of that."""

    result: Returned


@dataclass(frozen=True, slots=True)
class Stopped:
    """The objective ended because it was asked to: "stop" or "preempt". `step` is its last report's.

    `score`, if it returned one all the same, is that of a training cut short, with what stands beside it.
    """

    word: Literal["stop", "preempt"]
    step: int | None
    score: float | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    holdout: tuple[float, ...] = ()
    drift: float | None = None


@dataclass(frozen=True, slots=True)
class Exit:
    """How the trial's process ended. Exactly one of `code` and `signal`, or neither when `lost` says that nobody could
    tell.

    `killed`: by our `kill`. `oom_kills`: how many the kernel killed for memory around here meanwhile (not asked for
    code 0). `leftovers`: processes that outlived the trial's own and were ended after it.
    """

    code: int | None = None
    signal: int | None = None
    killed: bool = False
    peak_memory_bytes: int = 0
    oom_kills: int = 0
    leftovers: int = 0
    lost: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """The last event: no process of the trial is left."""

    exit: Exit


MemberEvent = Reported | Planned | Asked | Scored | Returned | Stopped | Failed


@dataclass(frozen=True, slots=True)
class OfMember:
    """What one trial of a pack says: a report, or its end while the process goes on with the others."""

    number: int
    event: MemberEvent


@dataclass(frozen=True, slots=True)
class Packed:
    """The objective of a pack has returned, or ended as it was asked to; each trial has told its own end."""


Event = OfMember | Packed | Noted | Started | Printed | MemberEvent | Ended


def event_of(message: Mapping[str, Any], *, words: set[str], directory: str) -> Event:
    """A child's frame as an event. `words`: what it was asked; `directory`: where its checkpoints go.

    Raises ValueError, KeyError or TypeError for what our own child never sends.
    """
    kind = message["kind"]
    if kind == "packed":
        return Packed()
    if kind == "started":
        return Started(_whole(message["pid"]))
    if kind == "report":
        return _reported(message, directory)
    if kind == "plan":
        return Planned(min(_whole(message["micro_batch"]), MOST_SAMPLES))
    if kind == "asked":
        return _asked(message)
    if kind == "result":
        return _returned(message, directory)
    if kind == "scored":
        return Scored(_returned(message, directory))
    if kind == "stopped":
        return _stopped(message, words)
    if kind == "fault":
        return failed(message)
    raise ValueError(f"a frame of the kind {kind!r}")


def failed(message: Mapping[str, Any]) -> Failed:
    """The fault in a frame or in a server's packet; raises as `event_of`."""
    mark = _text(message["signature"])
    if not mark.isalnum() or len(mark) > 64:
        raise ValueError(f"a signature of {len(mark)} characters")
    return Failed(Fault(message["fault"]), _text(message["detail"]), _text(message["traceback"]), mark)


def broken(why: str) -> Failed:
    """The channel's other end is the trial's own process: what is wrong with it is the objective's doing."""
    detail = (
        f"the objective spoiled the channel on which its process reports ({why}):"
        " leave descriptors alone that it did not open itself"
    )
    return from_words(Fault.USER_BUG, detail, "channel")


def died_importing(status: int) -> Failed:
    """A server that ended before it could serve: something in the import ended the process."""
    how = f"code {status}" if status >= 0 else signal.Signals(-status).name
    return from_words(Fault.USER_BUG, f"objective cannot be imported: the process ended with {how}", "import", how)


def exit_of(status: int) -> Exit:
    """A server's own exit status, as that of the trial whose import it was busy with."""
    return Exit(code=status) if status >= 0 else Exit(signal=-status)


def _reported(message: Mapping[str, Any], directory: str) -> Reported:
    written = message.get("checkpoint")
    return Reported(
        _whole(message["step"]),
        _number(message["value"]),
        _metrics(message["metrics"]),
        None if written is None else _file(written, directory),
        _text(message.get("checkpoint_error", "")),
    )


def _asked(message: Mapping[str, Any]) -> Asked:
    """A parameter that a space can hold, and a value of it."""
    name, form = _text(message["name"]), message["form"]
    try:
        kind = Space.from_dict({name: form}).parameters[name]
    except SpaceInvalid as error:
        raise ValueError(str(error)) from None
    return Asked(name, kind.fit(message["value"]), parameter_to_dict(kind))


def _file(written: Mapping[str, Any], directory: str) -> Artefact:
    path, sha256 = _text(written["path"]), _text(written["sha256"])
    if not path.startswith(directory + "/") or ".." in path.split("/") or "\0" in path:
        raise ValueError("a file outside the trial's own directory")
    if len(sha256) != 64 or not sha256.isalnum():
        raise ValueError("a file's hash of another length")
    return Artefact(path, sha256, _whole(written["size_bytes"]))


def _returned(message: Mapping[str, Any], directory: str) -> Returned:
    step = message["step"]
    return Returned(
        _finite(message["score"], "score"),
        _metrics(message["metrics"]),
        None if step is None else _whole(step),
        _whole(message.get("peak_memory_bytes", 0)),
        _blocks(message.get("holdout", [])),
        _drift(message.get("drift")),
        _file(message["model"], directory) if "model" in message else None,
        _text(message.get("model_error", "")),
        _whole(message.get("gpu_peak_bytes", 0)),
    )


def _stopped(message: Mapping[str, Any], words: set[str]) -> Stopped:
    word, step, score = message["word"], message["step"], message.get("score")
    if word not in words or word not in (STOP, PREEMPT):
        raise ValueError(f"{word!r} answers nothing that it was asked")
    return Stopped(
        word,
        None if step is None else _whole(step),
        None if score is None else _number(score),
        _metrics(message.get("metrics", {})),
        _blocks(message.get("holdout", [])),
        _drift(message.get("drift")),
    )


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MOST_INT:
        raise ValueError(f"{str(value)[:40]} is no whole number of 63 bits")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"a {type(value).__name__} is no number")
    return float(value)


def _finite(value: Any, what: str) -> float:
    number = _number(value)
    if not math.isfinite(number):
        raise ValueError(f"a {what} of {number}")
    return number


def _blocks(value: Any) -> tuple[float, ...]:
    if type(value) is not list or len(value) > MOST_BLOCKS:
        raise ValueError("a holdout that is no list, or too long")
    return tuple(_finite(each, "block") for each in value)


def _drift(value: Any) -> float | None:
    return None if value is None else _finite(value, "drift")


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError(f"a {type(value).__name__} is no text")
    return value


def _metrics(value: Any) -> dict[str, Any]:
    """Names with numbers that Postgres can hold, or with texts, which are cleaned when they are written."""
    if type(value) is not dict:
        raise ValueError(f"a {type(value).__name__} is no metrics")
    for each in value.values():
        if type(each) is int and abs(each) > MOST_INT:
            raise ValueError("a number among the metrics beyond 64 bits")
        if type(each) is float and not math.isfinite(each):
            raise ValueError(f"{each} among the metrics")
        if type(each) not in (int, float, bool, str):
            raise ValueError(f"a {type(each).__name__} among the metrics")
    return value
