"""What happens inside a trial's process, piece by piece: frames, verdicts on what came back, faults in words,
loading.
"""

import errno
import json
import math
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from celeriac.domain.records import Fault
from celeriac.trial import Result, Trial
from worker.process import linux
from worker.process.channel import SocketChannel
from worker.process.events import Returned, event_of
from worker.process.failure import MAX_TRACEBACK, from_exception, out_of_memory
from worker.process.frames import MAX_FRAME_BYTES, FrameTooLarge, Inbox, encode
from worker.process.last_frame import judged
from worker.process.objective import reseed


# -- frames
def test_frames_survive_any_cutting() -> None:
    messages = [{"kind": "report", "step": step, "text": "é" * step} for step in range(20)]
    stream = b"".join(encode(message) for message in messages)
    for size in (1, 3, 7, len(stream)):
        inbox = Inbox()
        chunks = (stream[start : start + size] for start in range(0, len(stream), size))
        assert [message for chunk in chunks for message in inbox.feed(chunk)] == messages


def test_a_frame_over_the_limit_is_refused_with_both_sizes() -> None:
    with pytest.raises(FrameTooLarge, match=r"a report of 1,048,6\d\d bytes is over the limit of 1,048,576"):
        encode({"kind": "report", "metrics": "x" * MAX_FRAME_BYTES})


@pytest.mark.parametrize("data", [struct.pack(">I", MAX_FRAME_BYTES + 1), struct.pack(">I", 2) + b"[]"])
def test_what_no_encoder_wrote_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="a frame"):
        list(Inbox().feed(data))


# -- the channel
@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, SocketChannel]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, SocketChannel(theirs)


def test_a_job_and_words_in_one_read(ends: tuple[socket.socket, SocketChannel]) -> None:
    ours, channel = ends
    ours.sendall(encode({"kind": "job"}) + encode({"kind": "control", "word": "preempt"}))
    assert channel.job() == {"kind": "job"}
    assert channel.poll() == "preempt"


def test_a_hand_back_outranks_a_stop(ends: tuple[socket.socket, SocketChannel]) -> None:
    ours, channel = ends
    assert channel.poll() is None
    for word, expected in (("stop", "stop"), ("preempt", "preempt"), ("stop", "preempt")):
        ours.sendall(encode({"kind": "control", "word": word}))
        assert channel.poll() == expected


def _go(step: int) -> bytes:
    return encode({"kind": "control", "word": "go", "step": step})


@pytest.fixture
def patient(ends: tuple[socket.socket, SocketChannel], monkeypatch: pytest.MonkeyPatch) -> SocketChannel:
    """The channel of a judged trial that has taken so long for its step that a report waits for ever."""
    monkeypatch.setattr("worker.process.channel.MOST_WAIT_S", 1e6)
    channel = ends[1]
    channel.judged, channel._reported_at = True, -1e9
    return channel


def test_a_judged_report_waits_for_its_answer(
    ends: tuple[socket.socket, SocketChannel], patient: SocketChannel
) -> None:
    """An answer to an earlier report is none."""
    reports = threading.Thread(target=lambda: patient.send({"kind": "report", "step": 3}))
    ends[0].sendall(_go(2))
    reports.start()
    assert ends[0].recv(1024) == encode({"kind": "report", "step": 3})
    assert reports.is_alive()
    ends[0].sendall(_go(3))
    reports.join()
    assert patient.poll() is None


@pytest.mark.parametrize("word", ["stop", "preempt"])
def test_an_order_ends_the_wait(ends: tuple[socket.socket, SocketChannel], patient: SocketChannel, word: str) -> None:
    ends[0].sendall(encode({"kind": "control", "word": word}))
    patient.send({"kind": "report", "step": 3})
    assert patient.poll() == word


def test_a_runner_that_goes_away_ends_the_wait(
    ends: tuple[socket.socket, SocketChannel], patient: SocketChannel
) -> None:
    reports = threading.Thread(target=lambda: patient.send({"kind": "report", "step": 3}))
    reports.start()
    assert ends[0].recv(1024)
    ends[0].close()
    reports.join()


def test_quick_reports_and_those_that_nobody_judges_do_not_wait(
    ends: tuple[socket.socket, SocketChannel], patient: SocketChannel
) -> None:
    patient.send({"kind": "result", "score": 1.0})
    patient.judged = False
    patient.send({"kind": "report", "step": 0})
    patient.judged = True
    for step in (1, 2):
        patient._reported_at = time.monotonic()
        patient.send({"kind": "report", "step": step})


def test_no_runner_no_job(ends: tuple[socket.socket, SocketChannel]) -> None:
    ours, channel = ends
    ours.close()
    assert channel.job() is None
    assert channel.poll() is None


# -- what came back
def judge(returned: Any) -> dict[str, Any]:
    return judged(returned, Trial.offline({}))


@pytest.mark.parametrize(("returned", "score"), [(1, 1.0), (0.5, 0.5), (Result(2), 2.0)])
def test_numbers_and_results_are_scores(returned: Any, score: float) -> None:
    assert judge(returned) == {"kind": "result", "score": score, "metrics": {}, "step": None}


def test_what_was_decided_of_batches_stands_among_the_metrics() -> None:
    trial = Trial.offline({})
    trial.batch_plan(10, 4)
    told = judged(Result(0.5, metrics={"micro_batch": "my own", "loss": 1.0}), trial)["metrics"]
    assert told == {
        "batch_plan": "10 = 3 steps, 1 of 4 and 2 of 3",
        "micro_batch": "my own",
        "accumulation_steps": 3,
        "loss": 1.0,
    }


def test_blocks_and_drift_travel_beside_the_score_where_there_are_any() -> None:
    frame = judge(Result(0.5, holdout=(1, 0.25), drift=np.float32(2)))
    assert frame == {"kind": "result", "score": 0.5, "metrics": {}, "step": None, "holdout": [1.0, 0.25], "drift": 2.0}
    event = event_of(json.loads(json.dumps(frame)), words=set(), directory="")
    assert event == Returned(0.5, {}, None, holdout=(1.0, 0.25), drift=2.0)


@pytest.mark.parametrize(
    "spoiled", [{"holdout": [0.5, "x"]}, {"holdout": "ab"}, {"holdout": [math.nan]}, {"drift": "x"}]
)
def test_a_frame_with_other_blocks_is_none_of_ours(spoiled: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"holdout|number|block"):
        event_of({**judge(0.5), **spoiled}, words=set(), directory="")


def test_the_step_is_the_results_or_the_last_reports() -> None:
    trial = Trial.offline({})
    trial.report(0.5, step=4)
    assert judged(1.0, trial)["step"] == 4
    assert judged(Result(1.0, step=2), trial)["step"] == 2


@pytest.mark.parametrize(
    ("returned", "fault", "says"),
    [
        (None, Fault.USER_BUG, "the score that the objective returns must be a number, got nothing (None)"),
        ("abc", Fault.USER_BUG, "got str 'abc'"),
        (True, Fault.USER_BUG, "got bool True"),
        ([1.0], Fault.USER_BUG, "got list [1.0]"),
        ({"acc": 1.0}, Fault.USER_BUG, "got dict {'acc': 1.0}: return celeriac.Result(score, metrics={...})"),
        ((1.0, {"acc": 1.0}), Fault.USER_BUG, "return celeriac.Result(score, metrics={...})"),
        (10**400, Fault.USER_BUG, "too large"),
        (Result(None), Fault.USER_BUG, "got nothing"),
        (Result(1.0, metrics={"a": [1]}), Fault.USER_BUG, "metrics['a'] must be a number"),
        (Result(1.0, holdout=[0.5, float("nan")]), Fault.USER_BUG, "holdout[1] is nan: it must be a finite number"),
        (Result(1.0, holdout=[]), Fault.USER_BUG, "holdout is empty"),
        (Result(1.0, holdout=[0.5, "x"]), Fault.USER_BUG, "holdout[1] must be a number, got str 'x'"),
        (Result(1.0, drift=float("inf")), Fault.USER_BUG, "Result(drift=...) is inf"),
        (Result(1.0, step=-1), Fault.USER_BUG, "Result(step=...)"),
        (Result(1.0, step=2**70), Fault.USER_BUG, "Result(step=...) must be a whole number from 0 to"),
        (Result(1.0, metrics={"a": 2**63}), Fault.USER_BUG, "metrics['a'] does not fit into 64 bits"),
        (Result(1.0, metrics={"a": -(10**5000)}), Fault.USER_BUG, "metrics['a'] does not fit"),
        (float("nan"), Fault.NOT_FINITE, "the objective returned nan"),
        (float("-inf"), Fault.NOT_FINITE, "the objective returned -inf"),
    ],
)
def test_everything_else_is_a_fault(returned: Any, fault: Fault, says: str) -> None:
    frame = judge(returned)
    assert (frame["kind"], frame["fault"]) == ("fault", fault)
    assert says in frame["detail"]
    assert frame["signature"] == judge(returned)["signature"]


# -- faults in words
def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_a_signature_is_of_the_type_and_the_place() -> None:
    root = str(Path(__file__).parent)
    first, second = (from_exception(raised(KeyError(number)), root) for number in (1, 2))
    elsewhere = from_exception(raised(ValueError(1)), root)
    assert first.signature == second.signature != elsewhere.signature
    assert first.detail == "KeyError: 1"
    assert first.traceback.rstrip().endswith("KeyError: 1")


def test_a_huge_message_is_cut() -> None:
    faulted = from_exception(raised(ValueError("x" * 1_000_000)), "/")
    assert len(faulted.traceback) < MAX_TRACEBACK + 100
    assert len(faulted.detail) < 2_100
    assert "characters left out" in faulted.traceback
    json.dumps(faulted.message()).encode()


def test_a_detail_is_one_line_of_any_characters() -> None:
    assert from_exception(raised(ValueError("\ud800")), "/").detail == "ValueError: ?"
    assert from_exception(raised(ValueError("one\ntwo")), "/").detail == "ValueError: one two"


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (ValueError("CUDA out of memory"), False),
        (RuntimeError("shape mismatch"), False),
    ],
)
def test_memory_faults_are_told_from_others(error: Exception, is_memory: bool) -> None:
    assert out_of_memory(error) is is_memory
    wrapped = RuntimeError("training failed")
    wrapped.__cause__ = error
    assert out_of_memory(wrapped) is is_memory


# -- seeds and processes
class _Cuda:
    """torch as far as it is asked for a device's memory."""

    def __init__(self, free_gib: float) -> None:
        self.cuda, self._free = self, free_gib

    def is_initialized(self) -> bool:
        return True

    def mem_get_info(self) -> tuple[int, int]:
        return int(self._free * 2**30), 80 * 2**30

    def memory_reserved(self) -> int:
        return 60 * 2**30


CUDNN = "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"


@pytest.mark.parametrize(
    ("words", "free_gib", "fault", "says"),
    [
        (CUDNN, 0.5, Fault.OUT_OF_MEMORY, "0.5 of the device's 80.0 GiB were free, the trial held 60.0: for memory"),
        (CUDNN, 20.0, Fault.USER_BUG, CUDNN),
        ("CUDA out of memory. Tried to allocate", 1.0, Fault.OUT_OF_MEMORY, "1.0 of the device's 80.0 GiB were free"),
        ("shapes do not match", 0.0, Fault.USER_BUG, "shapes do not match"),
        ("CUDA error: uncorrectable ECC error encountered", 20.0, Fault.INFRASTRUCTURE, "(sick device)"),
        ("No CUDA GPUs: no CUDA-capable device is detected", 20.0, Fault.INFRASTRUCTURE, "(sick device)"),
    ],
)
def test_the_devices_own_figures_tell_memory_from_other_errors(
    monkeypatch: pytest.MonkeyPatch, words: str, free_gib: float, fault: Fault, says: str
) -> None:
    monkeypatch.setitem(sys.modules, "torch", _Cuda(free_gib))
    failed = from_exception(raised(RuntimeError(words)), "/")
    assert failed.fault is fault
    assert says in failed.detail


def test_reseeding_repeats_every_generator() -> None:
    numpy = pytest.importorskip("numpy")
    before = random.getstate(), numpy.random.get_state()
    try:
        drawn = []
        for _ in range(2):
            reseed(2**70 + 5)
            drawn.append((random.random(), numpy.random.rand()))
        assert drawn[0] == drawn[1]
    finally:
        random.setstate(before[0])
        numpy.random.set_state(before[1])


def test_descendants_are_found_and_subtrees_spared() -> None:
    code = "import os; os.fork() or os.fork(); print(flush=True); import time; time.sleep(3600)"
    family = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert family.stdout is not None
        for _ in range(3):
            family.stdout.readline()
        assert family.pid in linux.children(os.getpid())
        below = linux.descendants(family.pid)
        assert len(below) == 2
        assert below | {family.pid} <= linux.descendants(os.getpid())
        assert not linux.descendants(os.getpid(), spare={family.pid}) & (below | {family.pid})
    finally:
        os.killpg(family.pid, signal.SIGKILL)
        family.communicate()


MARKED = "from worker.process import linux; linux.put_mark(linux.slot_mark({slot!r}), linux.server_mark({server!r}));"


def test_the_marked_are_found_and_ended() -> None:
    code = (
        MARKED.format(slot="m1", server="s1")
        + "import os; os.setsid() if os.fork() == 0 else None; print(flush=True); import time; time.sleep(3600)"
    )
    family = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert family.stdout is not None
    for _ in range(2):
        family.stdout.readline()
    slot, server = linux.slot_mark("m1"), linux.server_mark("s1")
    assert len(linux.marked(slot)) == 2
    assert linux.marked(slot) == linux.marked(server)
    assert linux.marked(linux.slot_mark("s1")) == linux.marked(linux.server_mark("m1")) == set()
    assert linux.end_marked(server) == set()
    family.communicate()
    assert family.returncode == -signal.SIGKILL


def test_a_mark_stays_through_exec_with_an_empty_environment() -> None:
    """Also in the middle of `exec`, when a program has no environment yet."""
    code = (
        MARKED.format(slot="m3", server="s3")
        + "import os; [os.posix_spawn('/bin/sleep', ['sleep', '60'], {}, setsid=True) for _ in range(20)];"
        " print(flush=True); os.execve('/bin/sleep', ['sleep', '60'], {})"
    )
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert program.stdout is not None
    program.stdout.readline()
    assert len(linux.marked(linux.slot_mark("m3"))) == 21
    assert linux.end_marked(linux.slot_mark("m3")) == set()
    program.communicate()


def test_the_kernels_count_of_memory_kills_is_a_number() -> None:
    assert linux.oom_kills() >= 0
