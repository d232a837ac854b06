"""A pack's part of its process: the trials that the job names, the objective called with all of them, and its end."""

import os
from pathlib import Path
from typing import Any

from celeriac.domain.states import Fault
from celeriac.pack import Pack, PackTrial
from celeriac.trial import TrialStopped
from worker.process import gpu_memory
from worker.process.channel import SocketChannel
from worker.process.failure import Failed, from_exception, from_words
from worker.process.last_frame import Keep, judged, not_in_a_fork, peak_memory_bytes
from worker.process.objective import Objective
from worker.process.pack_channel import MemberChannel, PackLink

PACKED: dict[str, Any] = {"kind": "packed"}


def trained_pack(
    objective: Objective, job: dict[str, Any], link: SocketChannel, code_root: str
) -> tuple[dict[str, Any], str]:
    """Call the objective; the pack's last frame, and the user's traceback for the log. What each trial came to was
    told before.
    """
    pid, pack = os.getpid(), pack_of(job, link, code_root)
    try:
        returned = objective(pack)
        not_in_a_fork(pid, None)
        pack.conclude(returned)
        return PACKED, ""
    except TrialStopped as stopped:
        not_in_a_fork(pid, stopped)
        if not pack.active:
            return PACKED, ""
        failed = from_exception(stopped, code_root, doing="raised by the script, nobody asked it to stop")
    except BaseException as error:
        not_in_a_fork(pid, error)
        failed = from_exception(error, code_root)
    return failed.message(), failed.traceback


def pack_of(job: dict[str, Any], link: SocketChannel, code_root: str) -> Pack:
    """The trials of the job, each with its channel."""
    root = Path(job["checkpoint_root"])

    def judge(returned: Any, trial: PackTrial, channel: MemberChannel) -> dict[str, Any]:
        frame = Keep(job, channel)(returned, trial, judged(returned, trial))
        if frame["kind"] != "result":
            return frame
        return {**frame, "peak_memory_bytes": peak_memory_bytes(), "gpu_peak_bytes": gpu_memory.peak_bytes()}

    def blame(error: BaseException) -> Failed:
        if isinstance(error, FloatingPointError):
            return from_words(Fault.NOT_FINITE, f"{type(error).__name__}: {error}", "failed")
        return from_exception(error, code_root)

    of = {each["number"]: bool(each["judged"]) for each in job["members"]}
    shared = PackLink(link, judge=judge, blame=blame, judged=of)
    return Pack(
        [
            PackTrial(
                each["params"],
                channel=MemberChannel(shared, each["number"]),
                root=root,
                directory=root / each["checkpoint_dir"],
                context=job["context"],
                seed=each["seed"],
                device=job["device"],
                study=job["study"],
                number=each["number"],
                attempt=each["attempt"],
                checkpoint=each["checkpoint"],
                start=job["start"],
            )
            for each in job["members"]
        ]
    )
