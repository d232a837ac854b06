"""The isolated process of one trial: from its fork to its end. It holds no password, reaches no service, and speaks over one socket.

born      ends with its server, leads a session of its own, prints into the runner's pipe
waits     warm, until its job comes
trains    calls the objective with a `Trial`
tells     one last frame: the result, that it stopped as asked, or the fault
ends      runs what the objective left to be run at exit, and is gone; one that is spent goes when the next trial is under way
"""

import atexit
import math
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from celeriac.linux import die_with_parent
from celeriac.records import Fault
from celeriac.trial import MOST_INT, PREEMPT, STOP, Result, Trial, TrialStopped, described, flat, number_in
from worker import proctree
from worker.faulted import Faulted, from_exception, from_words
from worker.frames import FrameTooLarge, Inbox, Job, encode
from worker.preload import Objective, Unusable, load, reseed

_READ_BYTES = 65_536
GO = "go"
# What a judged report may wait for its answer, which takes some milliseconds: a share of the step's own time, and never long.
WAIT_SHARE = 0.25
MOST_WAIT_S = 2.0
# A process that stays a moment longer than its trial holds no more than this: the next trial's memory comes on top of it.
SPENT_BYTES = 1 << 30
_NO_JOB = Job(
    study="", number=0, attempt=1, params={}, seed=0, device="cpu", checkpoint_root="/", checkpoint_dir="."
)


class SocketChannel:
    """The trial's end of the socket: `celeriac.trial.Channel` for the service.

    In a `judged` trial each report waits for the runner's answer, so that one which is stopped ends with the report that decided it,
    and not an epoch later: at most WAIT_SHARE of the time since the report before, so that quick reports never wait.
    """

    def __init__(self, channel: socket.socket) -> None:
        self.judged = False
        self._answered = -1
        self._alone = False
        self._reported_at = time.monotonic()
        self._socket = channel
        self._inbox = Inbox()
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._word: str | None = None

    def job(self) -> dict[str, Any] | None:
        """Wait for the job; None when the runner has gone."""
        while True:
            data = self._socket.recv(_READ_BYTES)
            if not data:
                return None
            messages = self._inbox.feed(data)
            if messages:
                self._hear(messages[1:])
                return messages[0]

    def send(self, message: dict[str, Any]) -> None:
        """Send one frame, waiting for the runner to take it. Raises FrameTooLarge."""
        self._socket.sendall(encode(message))
        if self.judged and message["kind"] == "report":
            now = time.monotonic()
            self._await_answer(
                message["step"], now + min(WAIT_SHARE * (now - self._reported_at), MOST_WAIT_S)
            )
            self._reported_at = time.monotonic()

    def poll(self) -> str | None:
        """The newest word of control; a hand-back outranks a stop, since it must not cost the trial."""
        while self._poll.poll(0):
            data = self._socket.recv(_READ_BYTES)
            if not data:
                self._alone = True  # the runner is gone, and this process goes with it
                break
            self._hear(self._inbox.feed(data))
        return self._word

    def close_all_others(self) -> None:
        """Close every descriptor of this process but this socket and the output, whose end would wake the runner once more."""
        kept = {1, 2, self._socket.fileno()}
        for name in os.listdir("/proc/self/fd"):
            if int(name) not in kept:
                with suppress(OSError):  # the listing's own
                    os.close(int(name))

    def until_let_go(self) -> None:
        """Wait until the runner closes its end, whatever it says before."""
        with suppress(OSError):
            while self._socket.recv(_READ_BYTES):
                pass

    def _await_answer(self, step: int, until: float) -> None:
        while self.poll() is None and self._answered < step and not self._alone:
            left_ms = (until - time.monotonic()) * 1000
            if left_ms < 1 or not self._poll.poll(left_ms):
                return

    def _hear(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            if message.get("kind") != "control":
                continue
            if message.get("word") == GO:
                self._answered = max(self._answered, message["step"])
            elif self._word != PREEMPT:
                self._word = PREEMPT if message.get("word") == PREEMPT else STOP


def live(
    channel: socket.socket,
    output: int,
    *,
    server: int,
    code_root: str,
    objective: str,
    loaded: Objective | None,
    ahead: bool,
) -> NoReturn:
    """Be the child, from just after the fork to the end of the process.

    `loaded` is the objective that the server holds already; without it this process imports it: `ahead` of its job, or after.
    """
    _born(server, output)
    outcome: Objective | Unusable | None = loaded
    if outcome is None and ahead:
        outcome = _attempted(code_root, objective)
    rehearse()
    link = SocketChannel(channel)
    job = link.job()
    if job is None:
        os._exit(0)
    outcome = outcome or _attempted(code_root, objective)
    reseed(job["seed"])
    link.send({"kind": "started", "pid": os.getpid()})
    if isinstance(outcome, Unusable):
        link.send(outcome.faulted.message())
    else:
        _tell(link, *_trained(outcome, _trial(job, link), code_root))
    _end(link, lingers=job["lingers"])


def rehearse() -> None:
    """Play a trial once, to nobody: the memory pages that this writes to are the process's own from then on.

    After a fork the first write to each page has the kernel copy it. So it does, before anybody waits for this process.
    """
    near, far = socket.socketpair()
    with near, far:
        link = SocketChannel(far)
        near.sendall(encode({"kind": "job", **asdict(_NO_JOB)}))
        job = link.job() or {}
        reseed(job["seed"])
        link.send({"kind": "started", "pid": os.getpid()})
        trial = _trial(job, link)
        trial.report(0.0, step=0, metrics={"none": 0.0})
        _is_spent()
        _tell(link, judged(Result(0.0, metrics={"none": 0.0}), trial), "")


#: Said to who returns several numbers at once.
_AS_RESULT = ": return celeriac.Result(score, metrics={...}) to keep more than the score"


def judged(returned: Any, trial: Trial) -> dict[str, Any]:
    """The last frame for what the objective returned: its score, or why that is no score."""
    if trial.heeded is not None:
        # It came to an end because it was asked to: the number, if any, is that of a partial training.
        return {"kind": "stopped", "word": trial.heeded, "step": trial.last_step, **_partial(returned)}
    result = returned if isinstance(returned, Result) else Result(returned)
    try:
        score = number_in(result.score, "the score that the objective returns")
        metrics = flat(result.metrics)
    except (TypeError, ValueError, OverflowError) as error:
        detail = str(error) + (_AS_RESULT if isinstance(result.score, (Mapping, tuple)) else "")
        return from_words(Fault.USER_BUG, detail, "returned", type(result.score).__qualname__).message()
    if not math.isfinite(score):
        return from_words(Fault.NOT_FINITE, f"the objective returned {score}", "returned").message()
    if result.step is not None and (type(result.step) is not int or not 0 <= result.step <= MOST_INT):
        detail = f"Result(step=...) must be a whole number from 0 to {MOST_INT}, got {described(result.step)}"
        return from_words(Fault.USER_BUG, detail, "step").message()
    step = trial.last_step if result.step is None else result.step
    return {"kind": "result", "score": score, "metrics": metrics, "step": step}


def _partial(returned: Any) -> dict[str, Any]:
    """The score of a training that was cut short, if what it returned is one."""
    result = returned if isinstance(returned, Result) else Result(returned)
    try:
        score, metrics = number_in(result.score, "score"), flat(result.metrics)
    except (TypeError, ValueError, OverflowError):
        return {}
    return {"score": score, "metrics": metrics} if math.isfinite(score) else {}


def _born(server: int, output: int) -> None:
    """Tie this process to its server and to nothing else that the server has."""
    die_with_parent(server)
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


def _disown_exit_functions() -> None:
    """What the import registered for exit belongs to the server: run in each child it would delete what the others still use.

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


def _attempted(code_root: str, objective: str) -> Objective | Unusable:
    try:
        return load(code_root, objective)
    except Unusable as unusable:
        return unusable


def _trial(job: dict[str, Any], link: SocketChannel) -> Trial:
    root, link.judged = Path(job["checkpoint_root"]), job["judged"]
    return Trial(
        job["params"],
        channel=link,
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
    )


def _trained(objective: Objective, trial: Trial, code_root: str) -> tuple[dict[str, Any], str]:
    """Call the objective; the last frame, and the user's traceback for the log."""
    pid = os.getpid()
    try:
        returned = objective(trial)
        _not_in_a_fork(pid, None)
        return judged(returned, trial), ""
    except TrialStopped as stopped:
        _not_in_a_fork(pid, stopped)
        if trial.heeded is not None:
            return {"kind": "stopped", "word": trial.heeded, "step": trial.last_step}, ""
        return _frame_and_trace(
            from_exception(stopped, code_root, doing="raised by the script, nobody asked it to stop")
        )
    except BaseException as error:
        _not_in_a_fork(pid, error)
        return _frame_and_trace(from_exception(error, code_root))


def _not_in_a_fork(pid: int, error: BaseException | None) -> None:
    """End here a process that the objective forked and that came back from it: what it returns or raises is not the trial's."""
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
                "celeriac: a process that the objective forked has returned from it: that is no score. End it by os._exit.",
                file=sys.stderr,
            )
    flush_output()
    os._exit(code & 0xFF)


def _frame_and_trace(faulted: Faulted) -> tuple[dict[str, Any], str]:
    return faulted.message(), faulted.traceback


def _is_spent() -> bool:
    """Whether, after the exit functions, nothing is left of the trial in this process but a little memory and open files."""
    if threading.active_count() > 1:
        return False
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return _resident_bytes() <= SPENT_BYTES
    return False


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * resource.getpagesize()


def _tell(link: SocketChannel, message: dict[str, Any], trace: str) -> None:
    """Send the last frame; one that is too large becomes the fault that says so. The traceback also goes to the output."""
    if trace:
        with suppress(OSError, ValueError):
            sys.stderr.write(trace)
    flush_output()
    if message["kind"] == "result":
        message = {**message, "peak_memory_bytes": _peak_memory_bytes()}
    try:
        link.send(message)
    except FrameTooLarge as error:
        link.send(from_words(Fault.USER_BUG, str(error), "frame").message())


def flush_output() -> None:
    """Flush what Python and C hold back; the user may have closed or replaced the streams."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    proctree.flush_c_output()


def _peak_memory_bytes() -> int:
    """The most that this process, or one that it started and waited for, has held: told here, since nobody waits for our end."""
    return 1024 * max(
        resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )


def _end(link: SocketChannel, *, lingers: bool) -> NoReturn:
    """Run the objective's exit functions, then leave without the interpreter's long farewell to its modules.

    Threads that the objective left behind are not waited for: its result is told. One that `lingers` closes every file, so that locks
    and ports are the next trial's, and has its memory unmapped when the runner lets it go: that takes 2 to 3 ms of a processor.
    """
    proctree.leave_this_processor()
    with suppress(BaseException):
        atexit._run_exitfuncs()
    flush_output()
    if lingers and _is_spent():
        link.close_all_others()
        link.send({"kind": "spent"})
        link.until_let_go()
    os._exit(0)
