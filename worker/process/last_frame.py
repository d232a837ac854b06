"""What an objective came to, as the last frame that its trial's process sends."""

import math
import os
import resource
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from celeriac.domain.states import Fault
from celeriac.result import MOST_INT, Result, blocks_in, described, finite_in, flat, number_in
from celeriac.trial import Trial
from worker.process import linux
from worker.process.failure import from_words


class Sends(Protocol):
    """Where a frame goes."""

    def send(self, message: dict[str, Any]) -> None:
        """Send it. Raises FrameTooLarge."""


#: Said to who returns several numbers at once.
_AS_RESULT = ": return celeriac.Result(score, metrics={...}) to keep more than the score"


def judged(returned: Any, trial: Trial) -> dict[str, Any]:
    """The last frame for what the objective returned: its score, or why that is no score."""
    if trial.heeded is not None:
        # It came to an end because it was asked to: the number, if any, is that of a partial training.
        return {"kind": "stopped", "word": trial.heeded, "step": trial.last_step, **_partial(returned)}
    if trial.rank:  # rank 0 returns the score
        return {"kind": "result", "score": 0.0, "step": None, "metrics": {}}
    result = returned if isinstance(returned, Result) else Result(returned)
    try:
        score = number_in(result.score, "the score that the objective returns")
        told = {"metrics": {**trial.recorded, **flat(result.metrics)}, **_beside(result)}
    except (TypeError, ValueError, OverflowError) as error:
        detail = str(error) + (_AS_RESULT if isinstance(result.score, (Mapping, tuple)) else "")
        return from_words(Fault.USER_BUG, detail, "returned", type(result.score).__qualname__).message()
    if not math.isfinite(score):
        return from_words(Fault.NOT_FINITE, f"the objective returned {score}", "returned").message()
    if result.step is not None and (type(result.step) is not int or not 0 <= result.step <= MOST_INT):
        detail = f"Result(step=...) must be a whole number from 0 to {MOST_INT}, got {described(result.step)}"
        return from_words(Fault.USER_BUG, detail, "step").message()
    step = trial.last_step if result.step is None else result.step
    return {"kind": "result", "score": score, "step": step, **told}


def _beside(result: Result) -> dict[str, Any]:
    """What stands beside a score for the gate of a schedule, where there is any. Raises TypeError, ValueError."""
    holdout = blocks_in(result.holdout)
    drift = {} if result.drift is None else {"drift": finite_in(result.drift, "Result(drift=...)")}
    return ({"holdout": holdout} if holdout else {}) | drift


def _partial(returned: Any) -> dict[str, Any]:
    """The score of a training that was cut short, if what it returned is one."""
    result = returned if isinstance(returned, Result) else Result(returned)
    try:
        score, told = number_in(result.score, "score"), {"metrics": flat(result.metrics), **_beside(result)}
    except (TypeError, ValueError, OverflowError):
        return {}
    return {"score": score, **told} if math.isfinite(score) else {}


class Keep:
    """Has the model written, where the job asks for it: after the score was told, so that it cannot cost the score."""

    def __init__(self, job: dict[str, Any], link: Sends) -> None:
        self._wanted, self._most_bytes, self._link = job["keep_model"], job["model_bytes"], link

    def __call__(self, returned: Any, trial: Trial, frame: dict[str, Any]) -> dict[str, Any]:
        """The last frame, with what became of the model."""
        if not self._wanted or frame["kind"] != "result" or not isinstance(returned, Result) or returned.model is None:
            return frame
        self._link.send({**frame, "kind": "scored"})
        flush_output()
        return {**frame, **trial.keep_model(returned.model, self._most_bytes)}


def not_in_a_fork(pid: int, error: BaseException | None) -> None:
    """End a process that the objective forked and that came back from it: its end is not the trial's."""
    if os.getpid() == pid:
        return
    code = 1
    with suppress(BaseException):
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        elif error is not None:
            sys.excepthook(type(error), error, error.__traceback__)
        else:
            code = 0
            print(
                "celeriac: a process that the objective forked has returned from it: that is no score. End it by"
                " os._exit.",
                file=sys.stderr,
            )
    flush_output()
    os._exit(code & 0xFF)


def flush_output() -> None:
    """Flush what Python and C hold back; the user may have closed or replaced the streams."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    linux.flush_c_output()


def peak_memory_bytes() -> int:
    """The most that this process, or one that it waited for, has held: nobody waits for our own end."""
    return 1024 * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
