"""The isolated process of one trial: from its fork to its end. It holds no password, reaches no service, and speaks
over one socket.

born      ends with its server, leads a session of its own, prints into the runner's pipe
waits     warm, until its job comes
trains    calls the objective with a `Trial`
tells     one last frame: the result, that it stopped as asked, or the fault
ends      runs what the objective left to be run at exit, and is gone
"""

import atexit
import os
import signal
import socket
import sys
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from celeriac.domain.states import Fault
from celeriac.runtime.process.linux import die_with_parent
from celeriac.trial import Channel, Trial, TrialStopped, enter
from worker.process import gpu_memory, rendezvous
from worker.process.calls import callable_of
from worker.process.channel import SocketChannel
from worker.process.failure import from_exception, from_words
from worker.process.frames import CHANNEL_LOST, FrameTooLarge
from worker.process.gang_channel import FollowChannel, LeadChannel
from worker.process.last_frame import Keep, flush_output, judged, not_in_a_fork, peak_memory_bytes
from worker.process.objective import Objective, Unusable, reseed
from worker.process.pack_child import trained_pack
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
        if job["members"]:
            _tell(link, *trained_pack(outcome, job, link, code_root))
        else:
            _tell(link, *_trained(outcome, _trial(job, link, speaks), code_root, Keep(job, link)))
    _end()


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


def _trained(objective: Objective, trial: Trial, code_root: str, keep: Keep) -> tuple[dict[str, Any], str]:
    """Call the objective; the last frame, and the user's traceback for the log."""
    pid = os.getpid()
    enter(trial)
    try:
        returned = objective(trial)
        not_in_a_fork(pid, None)
        return keep(returned, trial, judged(returned, trial)), ""
    except TrialStopped as stopped:
        not_in_a_fork(pid, stopped)
        if trial.heeded is not None:
            return {"kind": "stopped", "word": trial.heeded, "step": trial.last_step}, ""
        failed = from_exception(stopped, code_root, doing="raised by the script, nobody asked it to stop")
    except BaseException as error:
        not_in_a_fork(pid, error)
        failed = from_exception(error, code_root)
    return failed.message(), failed.traceback


def _tell(link: SocketChannel, message: dict[str, Any], trace: str) -> None:
    """Send the last frame, or, if it is too large, the fault that says so. The traceback goes to the output."""
    if trace:
        with suppress(OSError, ValueError):
            sys.stderr.write(trace)
    flush_output()
    if message["kind"] == "result":
        message = {**message, "peak_memory_bytes": peak_memory_bytes(), "gpu_peak_bytes": gpu_memory.peak_bytes()}
    try:
        try:
            link.send(message)
        except FrameTooLarge as error:
            link.send(from_words(Fault.USER_BUG, str(error), "frame").message())
    except OSError:  # the objective has closed the socket, or something else has its number now
        os._exit(CHANNEL_LOST)


def _end() -> NoReturn:
    """Run the objective's exit functions, then leave without the interpreter's long farewell to its modules.

    Threads that the objective left behind are not waited for: its result is told.
    """
    with suppress(BaseException):
        atexit._run_exitfuncs()
    flush_output()
    os._exit(0)
