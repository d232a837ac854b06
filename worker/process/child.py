"""The isolated process of one trial: from its fork to its end. It holds no password, reaches no service, and speaks
over one socket.

born      ends with its server, leads a session of its own, prints into the runner's pipe
waits     warm, until its job comes
trains    calls the objective with a `Trial`
tells     one last frame: the result, that it stopped as asked, or the fault
ends      runs what the objective left to be run at exit, and is gone
"""

import atexit
import math
import os
import resource
import signal
import socket
import sys
import tempfile
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from celeriac.domain.records import Fault
from celeriac.result import MOST_INT, Result, blocks_in, described, finite_in, flat, number_in
from celeriac.runtime.process.linux import die_with_parent
from celeriac.trial import Channel, Trial, TrialStopped
from worker.process import gpu_memory, linux, rendezvous
from worker.process.calls import callable_of
from worker.process.channel import SocketChannel
from worker.process.failure import from_exception, from_words
from worker.process.frames import CHANNEL_LOST, FrameTooLarge
from worker.process.gang_channel import FollowChannel, LeadChannel
from worker.process.objective import Objective, Unusable, reseed
from worker.process.scratch import HOME, TEMPORARY

#: Where memory runs out the kernel ends a trial, and not the slot, the node or a database beside it (proc(5),
#: oom_score_adj).
FIRST_FOR_MEMORY = "500"


def live(
    channel: socket.socket,
    output: int,
    *,
    server: int,
    place: Path,
    code_root: str,
    objective: str,
    api: str,
    loaded: Objective | None,
    ahead: bool,
) -> NoReturn:
    """Be the child, from just after the fork to the end of the process.

    `loaded` is the objective that the server holds already; without it this process imports it: `ahead` of its job, or
    after.
    """
    _born(server, output)
    _settle_in(place)
    outcome: Objective | Unusable | None = loaded
    if outcome is None and ahead:
        outcome = _attempted(code_root, objective, api)
    reseed(0)  # the first time in a fork costs torch 4 ms, which reads its own source files: not while a slot waits
    link = SocketChannel(channel)
    job = link.job()
    if job is None:
        os._exit(0)
    os.environ.update(job["environment"])
    outcome = outcome or _attempted(code_root, objective, api)
    reseed(job["seed"])
    link.send({"kind": "started", "pid": os.getpid()})
    speaks: Channel = link
    if "RANK" in job["environment"] and not isinstance(outcome, Unusable):
        outcome, speaks = _met(job, outcome, link)
    if isinstance(outcome, Unusable):
        link.send(outcome.faulted.message())
    else:
        gpu_memory.cap(job["gpu_memory_bytes"])
        _tell(link, *_trained(outcome, _trial(job, link, speaks), code_root, Keep(job, link)))
    _end()


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


def _born(server: int, output: int) -> None:
    """Tie this process to its server and to nothing else that the server has."""
    die_with_parent(server)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_FOR_MEMORY)
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.close(output)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    _disown_exit_functions()


def _settle_in(place: Path) -> None:
    """Have this process, and what it starts, use the trial's own home and temporary directory."""
    os.environ["HOME"], os.environ["TMPDIR"] = str(place / HOME), str(place / TEMPORARY)
    tempfile.tempdir = None  # it remembers the directory that the server's import used


def _disown_exit_functions() -> None:
    """What the import registered for exit belongs to the server: run in each child it would delete what the others
    still use.

    The machinery itself stays, so that what the objective registers (a temporary directory, a process pool) is run.
    """
    atexit._clear()
    for pending in list(weakref.finalize._registry):  # type: ignore[attr-defined] # the only way to reach them
        pending.atexit = False
    if "logging" in sys.modules:
        atexit.register(sys.modules["logging"].shutdown)
    if "multiprocessing.util" in sys.modules:
        atexit.register(sys.modules["multiprocessing.util"]._exit_function)
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined] # registers itself again when next used


def _attempted(code_root: str, objective: str, api: str) -> Objective | Unusable:
    try:
        return callable_of(code_root, objective, api)
    except Unusable as unusable:
        return unusable


def _met(job: dict[str, Any], objective: Objective, link: SocketChannel) -> tuple[Objective | Unusable, Channel]:
    """The objective of a gang's member, once its process has met the others, and the channel of its rank."""
    try:
        words = rendezvous.enter(job, objective)
    except Unusable as unusable:
        return unusable, link
    return objective, FollowChannel(link, words) if job["rank"] else LeadChannel(link, words)


def _trial(job: dict[str, Any], link: SocketChannel, channel: Channel) -> Trial:
    root, link.judged = Path(job["checkpoint_root"]), job["judged"]
    return Trial(
        job["params"],
        channel=channel,
        root=root,
        directory=root / job["checkpoint_dir"],
        context=job["context"],
        seed=job["seed"],
        device=job["device"],
        study=job["study"],
        number=job["number"],
        attempt=job["attempt"],
        checkpoint=job["checkpoint"],
        start=job["start"],
        rank=job["rank"],
        world=job["world"],
        most_samples=job["most_samples"],
        learns_space=job["learn_space"],
    )


class Keep:
    """Has the model written, where the job asks for it: after the score was told, so that it cannot cost the score."""

    def __init__(self, job: dict[str, Any], link: SocketChannel) -> None:
        self._wanted, self._most_bytes, self._link = job["keep_model"], job["model_bytes"], link

    def __call__(self, returned: Any, trial: Trial, frame: dict[str, Any]) -> dict[str, Any]:
        """The last frame, with what became of the model."""
        if not self._wanted or frame["kind"] != "result" or not isinstance(returned, Result) or returned.model is None:
            return frame
        self._link.send({**frame, "kind": "scored"})
        flush_output()
        return {**frame, **trial.keep_model(returned.model, self._most_bytes)}


def _trained(objective: Objective, trial: Trial, code_root: str, keep: Keep) -> tuple[dict[str, Any], str]:
    """Call the objective; the last frame, and the user's traceback for the log."""
    pid = os.getpid()
    try:
        returned = objective(trial)
        _not_in_a_fork(pid, None)
        return keep(returned, trial, judged(returned, trial)), ""
    except TrialStopped as stopped:
        _not_in_a_fork(pid, stopped)
        if trial.heeded is not None:
            return {"kind": "stopped", "word": trial.heeded, "step": trial.last_step}, ""
        failed = from_exception(stopped, code_root, doing="raised by the script, nobody asked it to stop")
    except BaseException as error:
        _not_in_a_fork(pid, error)
        failed = from_exception(error, code_root)
    return failed.message(), failed.traceback


def _not_in_a_fork(pid: int, error: BaseException | None) -> None:
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


def _tell(link: SocketChannel, message: dict[str, Any], trace: str) -> None:
    """Send the last frame, or, if it is too large, the fault that says so. The traceback goes to the output."""
    if trace:
        with suppress(OSError, ValueError):
            sys.stderr.write(trace)
    flush_output()
    if message["kind"] == "result":
        message = {**message, "peak_memory_bytes": _peak_memory_bytes(), "gpu_peak_bytes": gpu_memory.peak_bytes()}
    try:
        try:
            link.send(message)
        except FrameTooLarge as error:
            link.send(from_words(Fault.USER_BUG, str(error), "frame").message())
    except OSError:  # the objective has closed the socket, or something else has its number now
        os._exit(CHANNEL_LOST)


def flush_output() -> None:
    """Flush what Python and C hold back; the user may have closed or replaced the streams."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    linux.flush_c_output()


def _peak_memory_bytes() -> int:
    """The most that this process, or one that it waited for, has held: nobody waits for our own end."""
    return 1024 * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _end() -> NoReturn:
    """Run the objective's exit functions, then leave without the interpreter's long farewell to its modules.

    Threads that the objective left behind are not waited for: its result is told.
    """
    with suppress(BaseException):
        atexit._run_exitfuncs()
    flush_output()
    os._exit(0)
