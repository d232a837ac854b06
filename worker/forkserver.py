"""The runner's side of the fork servers: a warm process for each trial, followed through one descriptor.

    pool = ServerPool(environment=scrubbed(os.environ, slot.environment), tag="gpu0.s0@host", idle_s=60)
    child = pool.take(Code("/code", fingerprint, "train:objective"))
    child.start(Job(...))
    while child.ended is None:
        select([child, drain_pipe, ...])          # readable: `receive` has something
        for event in child.receive(): ...         # Started, Reported, Printed, ... and last of all Ended
    child.close()

The process of a job with `lingers` may still be there after its last word: `close` sees it off, and `stand_aside` lets the next trial
begin beside it, if it is spent: small, alone, with no file open and nothing left to run.

Promises: `take`, `start`, `send` and `receive` never wait, whatever the user's code does (a slow import included); `kill`
and `close` wait no longer than they were told plus `MARGIN_S`. `Ended` comes once, after every other event, when no process of
the trial is left. Servers are started by Popen (multiprocessing refuses inside a Celery pool process), from the thread that
must outlive them: their parent-death signal follows it.
"""

import json
import os
import select
import selectors
import signal
import socket
import subprocess
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from celeriac.records import Fault
from worker import proctree
from worker.faulted import from_words
from worker.frames import Inbox, Job, encode
from worker.server import Plan

MARGIN_S = 5.0
MAX_JOB_BYTES = 65_536  # fits an empty socket's buffer, so that sending one never waits for the child
SERVER_MARK = "CELERIAC_SERVER"
_KEPT = 2
_PACKET_BYTES = 65_536
_READ_BYTES = 65_536
_READS_A_PASS = 16
_ALLOWED = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "TZ",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    }
)
_ALLOWED_PREFIXES = (
    *("LC_", "PYTHON", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "NUMEXPR_"),
    *("CUDA_", "CUBLAS_", "CUDNN_", "NCCL_", "NVIDIA_", "TORCH", "PYTORCH_", "TRITON_", "XDG_"),
)
_DEFAULTS = {
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONIOENCODING": "utf-8:backslashreplace",
}


def scrubbed(environ: Mapping[str, str], slot: Mapping[str, str]) -> dict[str, str]:
    """What of `environ` a trial may see, with the slot's own variables on top: an allow-list, so no address or password passes.

    PYTORCH_NVML_BASED_CUDA_CHECK lets a module ask torch.cuda.is_available() when imported without spoiling later forks, a
    fixed PYTHONHASHSEED makes a seeded trial repeatable, and no character can make `print` fail; all give way to `environ`.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name in _ALLOWED or name.startswith(_ALLOWED_PREFIXES)
    }
    return {**_DEFAULTS, **kept, **slot}


@dataclass(frozen=True, slots=True)
class Code:
    """What a server holds: a changed file has another fingerprint, and so another server."""

    root: str
    fingerprint: str
    objective: str


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
    checkpoint_path: str | None = None
    checkpoint_sha256: str = ""
    checkpoint_bytes: int = 0
    checkpoint_error: str = ""


@dataclass(frozen=True, slots=True)
class Returned:
    """The objective returned a finite score."""

    score: float
    metrics: Mapping[str, Any]
    step: int | None
    peak_memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Stopped:
    """The objective ended because it was asked to: "stop" or "preempt". `step` is its last report's.

    `score`, if it returned one all the same, is that of a training cut short, with its `metrics`.
    """

    word: Literal["stop", "preempt"]
    step: int | None
    score: float | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """The objective's own fault, in words; `signature` is equal for equal failures."""

    fault: Fault
    detail: str
    traceback: str
    signature: str


@dataclass(frozen=True, slots=True)
class Exit:
    """How the trial's process ended. Exactly one of `code` and `signal`, or neither when `lost` says that nobody could tell.

    `killed`: by our `kill`. `oom_kills`: how many the kernel killed for memory around here meanwhile (not asked for code 0). `leftovers`: processes
    that outlived the trial's own and were ended after it.
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


Event = Noted | Started | Printed | Reported | Returned | Stopped | Failed | Ended


class ServerPool:
    """The fork servers of one slot: one trial at a time, the last two objectives kept warm."""

    def __init__(self, *, environment: Mapping[str, str], tag: str, idle_s: float) -> None:
        """`environment` is what trials see (see `scrubbed`); `tag` marks every process of the slot as CELERIAC_TAG."""
        self._environment = {**environment, "CELERIAC_TAG": tag}
        self._idle_s = idle_s
        self._servers: OrderedDict[Code, _Server] = OrderedDict()
        self._closing: list[_Server] = []
        self._trial: TrialProcess | None = None

    def take(self, code: Code) -> "TrialProcess":
        """A process for the next trial: the standby of a running server, or that of one that starts now. Never waits."""
        if self._trial is not None and self._trial.ended is None:
            raise RuntimeError("the slot's trial before has not ended: kill or close it first")
        self._bury()
        server = self._servers.pop(code, None)
        if server is None or server.gone():
            server = self._started(code, server)
        self._servers[code] = server
        while len(self._servers) > _KEPT:
            self._retire(self._servers.popitem(last=False)[1])
        self._trial = TrialProcess(server, lambda: self._replaced(code))
        return self._trial

    def close(self) -> None:
        """End every server, and everything below them."""
        if self._trial is not None and self._trial.ended is None:
            self._trial.kill(0.0)
        while self._servers:
            self._retire(self._servers.popitem()[1])
        deadline = time.monotonic() + MARGIN_S
        for server in self._closing:
            server.finish(max(0.0, deadline - time.monotonic()))
        self._closing.clear()

    def __enter__(self) -> "ServerPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _started(self, code: Code, before: "_Server | None") -> "_Server":
        if before is not None:
            self._retire(before)
        return _Server(code, self._environment, self._idle_s)

    def _replaced(self, code: Code) -> "_Server":
        """A server in the place of one that ended just before its child could be taken."""
        self._servers[code] = self._started(code, self._servers.pop(code, None))
        return self._servers[code]

    def _retire(self, server: "_Server") -> None:
        server.close()
        self._closing.append(server)

    def _bury(self) -> None:
        """Collect the exit status of servers that have ended; never waits."""
        self._closing = [server for server in self._closing if not server.gone()]


@dataclass(frozen=True, slots=True)
class _Standby:
    """A child that waits for its job, by the runner's ends of its socket and its output."""

    pid: int
    channel: socket.socket
    output: int

    def waits(self) -> bool:
        """Whether it is there still."""
        try:
            return self.channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def close(self) -> None:
        """Let it go: it ends when nobody can give it a job any more."""
        self.channel.close()
        os.close(self.output)


class _Server:
    """One `python -m worker.server` process and the socket to it."""

    def __init__(self, code: Code, environment: Mapping[str, str], idle_s: float) -> None:
        self.mark = uuid.uuid4().hex
        self.served = False
        self.ready: dict[str, Any] | None = None
        self.standby: _Standby | None = None
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            plan = Plan(theirs.fileno(), os.getpid(), code.root, code.objective, idle_s)
            self.process = subprocess.Popen(
                plan.command(),
                env={**environment, SERVER_MARK: self.mark},
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self.control.setblocking(False)

    def send(self, packet: dict[str, Any]) -> None:
        """Send a packet; a server that is gone is noticed when it is read from."""
        with suppress(OSError):
            self.control.send(json.dumps(packet).encode())

    def receive(self) -> tuple[dict[str, Any] | None, list[int]] | None:
        """The next packet with its descriptors, None when there is none now, (None, []) when the server is gone."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.control, _PACKET_BYTES, 2)
        except BlockingIOError:
            return None
        except OSError:
            return None, []
        return (json.loads(data) if data else None), descriptors

    def take(self) -> _Standby | None:
        """The standby, which is the trial's process from now on; None when there is none yet: then it was asked for."""
        standby, self.standby = self.standby, None
        if standby is not None and standby.waits():
            self.send({"kind": "take", "pid": standby.pid})
            return standby
        if standby is not None:
            standby.close()
        self.send({"kind": "standby", "gone": standby.pid if standby else None})
        return None

    def strays(self, trial: "TrialProcess") -> set[int]:
        """Processes that the trial left to its server."""
        standby = set() if self.standby is None else {self.standby.pid}
        return proctree.children(self.process.pid) - standby - {trial.pid or 0}

    def gone(self) -> bool:
        """Whether the process has ended (collects its status)."""
        return self.process.poll() is not None

    def close(self) -> None:
        """Ask it to end: it ends everything below it first."""
        self.control.close()
        if self.standby is not None:
            self.standby.close()
            self.standby = None

    def finish(self, within_s: float, trial: int | None = None) -> int:
        """Wait for its end, by force after `within_s`; then sweep what may have escaped it, and see its `trial` gone. Returns its status."""
        self.close()
        try:
            status = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        proctree.end_marked(SERVER_MARK, self.mark, known=[] if trial is None else [trial])
        return status


class TrialProcess:
    """One trial's process. `select` on it; call `receive` when it is readable."""

    def __init__(self, server: _Server, replaced: Callable[[], _Server]) -> None:
        """Made by `ServerPool.take`."""
        self.ended: Exit | None = None
        self.pid: int | None = None
        self._replaced = replaced
        self._selector = selectors.EpollSelector()
        self._events: list[Event] = []
        self._frames: list[bytes] = []  # what was said to the child until it began: another one will need it
        self._began = False
        self._words: set[str] = set()
        self._inbox = Inbox()
        self._channel: socket.socket | None = None
        self._output: int | None = None
        self._killing = False
        self._spent = self._closing = False
        self._parting: socket.socket | None = None
        self._attach(server)

    def fileno(self) -> int:
        """Readable when `receive` is to be called, which may return nothing; the same for the whole life of the trial."""
        return self._selector.fileno()

    def start(self, job: Job) -> None:
        """Hand over the job, as soon as the child is there. Raises FrameTooLarge for one over 64 KiB."""
        self._say(encode({"kind": "job", **asdict(job)}, MAX_JOB_BYTES))

    def send(self, word: Literal["stop", "preempt"]) -> None:
        """Ask the trial to stop, or to hand back; it hears at its next report. Repeats are not sent."""
        if word not in self._words:
            self._words.add(word)
            self._say(encode({"kind": "control", "word": word}))

    def answer(self, step: int) -> None:
        """Tell a judged trial that it goes on after its report of this step."""
        self._say(encode({"kind": "control", "word": "go", "step": step}))

    def receive(self) -> list[Event]:
        """What has happened since the last call, in order. Never waits."""
        if self.ended is None:
            for key, _ in self._selector.select(0):
                if not self._over():
                    key.data()
        events, self._events = self._events, []
        return events

    def wait(self, timeout_s: float | None = None) -> list[Event]:
        """`receive`, after waiting for something to receive or for the timeout."""
        if self.ended is None and not self._events:
            self._pause(timeout_s)
        return self.receive()

    def kill(self, grace_s: float) -> Exit:
        """TERM, after `grace_s` KILL, everything that the trial started, and wait until it is gone; the standby lives on.

        Events that come meanwhile are kept for `receive`. Safe to call at any time and again after an exception.
        """
        if self.ended is None and self.pid is None:
            self._lose("killed before it began", killed=True)
        if self.ended is None:
            self._killing = True
            self._server.send({"kind": "kill", "grace_s": grace_s})
        return self._awaited(grace_s + MARGIN_S) or self._lose(
            "its server did not end it in time", killed=True
        )

    def close(self, grace_s: float = 10.0) -> Exit:
        """Wait up to `grace_s` for the process to end by itself (after its last message), then kill it. Frees descriptors."""
        self._closing = True
        self._let_go()
        ended = self._awaited(grace_s) or self.kill(1.0)
        self._selector.close()
        return ended

    def stand_aside(self) -> bool:
        """Count as ended, so that the slot's next trial can begin, if the process is spent: it goes for good at `close`. Never waits."""
        self._events = self.receive()
        if self.ended is None and self._spent and self._channel is not None and not self._server.strays(self):
            self._selector.unregister(self._channel)
            self._parting, self._channel = self._channel, None
            self._end(Exit(code=0))
        return self.ended is not None

    def _let_go(self) -> None:
        """A spent process ends when its channel does."""
        if self._spent:
            self._drop_channel()
        if self._parting is not None:
            self._parting.close()
            self._parting = None

    def _over(self) -> bool:
        return self.ended is not None

    # -- the server's packets -------------------------------------------------------------------------------------------
    def _attach(self, server: _Server) -> None:
        self._server = server
        self._reused = server.served
        self._selector.register(server.control, selectors.EVENT_READ, self._hear_server)
        if server.ready is not None:
            self._note(server.ready)
        self._hear_server()
        if self._server is server and server.ready is not None and self.pid is None and self.ended is None:
            self._take()

    def _hear_server(self) -> None:
        while self.ended is None:
            received = self._server.receive()
            if received is None:
                return
            packet, descriptors = received
            if packet is None:
                self._server_gone()
                return
            self._on_packet(packet, descriptors)

    def _on_packet(self, packet: dict[str, Any], descriptors: list[int]) -> None:
        kind = packet.pop("kind")
        if kind == "ready":
            self._server.ready = packet
            self._note(packet)
            self._take()
        elif kind == "failed":
            self._events.append(_failed(packet))
            self._server.finish(MARGIN_S, self.pid)
            self._end(Exit(code=0))
        elif kind == "standby":
            self._server.standby = _Standby(
                packet["pid"], socket.socket(fileno=descriptors[0]), descriptors[1]
            )
            if self.pid is None and self._server.ready is not None:
                self._take()
        elif kind == "ended" and packet.pop("pid") == self.pid:  # else of one that stood aside
            self._drain()
            self._end(Exit(**packet))

    def _note(self, ready: dict[str, Any]) -> None:
        if ready["note"]:
            self._events.append(Noted(f"isolation: {ready['isolation']}: {ready['note']}"))

    def _take(self) -> None:
        standby = self._server.take()
        if standby is None:
            return
        self._server.served = True
        self.pid, self._channel, self._output = standby.pid, standby.channel, standby.output
        self._channel.setblocking(False)
        os.set_blocking(self._output, False)
        self._selector.register(self._channel, selectors.EVENT_READ, self._hear_child)
        self._selector.register(self._output, selectors.EVENT_READ, self._hear_output)
        for frame in self._frames:
            self._write(frame)

    def _server_gone(self) -> None:
        """The socket ended: the server was idle for too long just now, or it died of the import, or something killed it."""
        self._drain()
        if self._reused and not self._began:
            self._selector.unregister(self._server.control)
            self._drop_channel()
            self._drop_output()
            self.pid = None
            self._attach(self._replaced())
            return
        status = self._server.finish(MARGIN_S, self.pid)
        if self.pid is None and status != -signal.SIGKILL:
            self._events.append(_died_importing(status))
        how = f"with code {status}" if status >= 0 else f"by signal {-status}"
        self._end(_of_status(status) if self.pid is None else Exit(lost=f"its server ended {how}"))

    # -- the child's messages -------------------------------------------------------------------------------------------
    def _hear_child(self) -> None:
        for _ in range(_READS_A_PASS):
            data = self._read_channel()
            if data is None:
                return
            if not data:
                self._drop_channel()
                return
            for message in self._inbox.feed(data):
                self._on_message(message)

    def _read_channel(self) -> bytes | None:
        """Bytes, b"" at the end, None when there is nothing now."""
        if self._channel is None:
            return b""
        try:
            return self._channel.recv(_READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _on_message(self, message: dict[str, Any]) -> None:
        kind = message.pop("kind")
        if kind == "started":
            self._began = True
            self._frames.clear()
            self._server.send({"kind": "standby", "gone": None})
            self._events.append(Started(**message))
        elif kind == "report":
            self._events.append(_reported(message))
        elif kind == "result":
            self._events.append(Returned(**message))
        elif kind == "stopped":
            self._events.append(Stopped(**message))
        elif kind == "spent":
            self._spent = True
            if self._closing:
                self._let_go()
        elif kind == "fault":
            self._events.append(_failed(message))

    def _hear_output(self) -> None:
        for _ in range(_READS_A_PASS):
            if self._output is None:
                return
            try:
                data = os.read(self._output, _READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                self._drop_output()
                return
            self._events.append(Printed(data))

    # -- ends -----------------------------------------------------------------------------------------------------------
    def _drain(self) -> None:
        """Read what the dead left in the socket and the pipe: no writer is left, so each comes to an end."""
        while self._channel is not None and select.select([self._channel], [], [], 0)[0]:
            self._hear_child()
        while self._output is not None and select.select([self._output], [], [], 0)[0]:
            self._hear_output()

    def _lose(self, why: str, *, killed: bool) -> Exit:
        """Give up on the server: end it and everything that carries its mark."""
        self._server.process.kill()
        self._drain()
        self._server.finish(MARGIN_S, self.pid)
        return self._end(Exit(lost=why, killed=killed))

    def _end(self, ended: Exit) -> Exit:
        if self._killing and not ended.killed:
            ended = replace(ended, killed=True)
        self.ended = ended
        self._events.append(Ended(ended))
        with suppress(KeyError, ValueError):
            self._selector.unregister(self._server.control)
        self._drop_channel()
        self._drop_output()
        return ended

    def _drop_channel(self) -> None:
        if self._channel is not None:
            self._selector.unregister(self._channel)
            self._channel.close()
            self._channel = None

    def _drop_output(self) -> None:
        if self._output is not None:
            self._selector.unregister(self._output)
            os.close(self._output)
            self._output = None

    def _awaited(self, within_s: float) -> Exit | None:
        """Take events in until the end, or None when it did not come in time."""
        deadline = time.monotonic() + within_s
        gathered = self.receive()
        while self.ended is None and (left_s := deadline - time.monotonic()) > 0:
            self._pause(left_s)
            gathered += self.receive()
        self._events = gathered + self._events
        return self.ended

    def _pause(self, timeout_s: float | None) -> None:
        poll = select.poll()
        poll.register(self._selector.fileno(), select.POLLIN)
        poll.poll(None if timeout_s is None else timeout_s * 1000)

    def _say(self, frame: bytes) -> None:
        """Send to the child, now or when it is there; to one that has gone there is nothing more to say."""
        if self.ended is not None:
            return
        if not self._began:
            self._frames.append(frame)
        self._write(frame)

    def _write(self, frame: bytes) -> None:
        if self._channel is not None:
            with suppress(OSError):
                self._channel.sendall(frame)


def _reported(message: dict[str, Any]) -> Reported:
    written = message.get("checkpoint") or {}
    return Reported(
        message["step"],
        message["value"],
        message["metrics"],
        written.get("path"),
        written.get("sha256", ""),
        written.get("size_bytes", 0),
        message.get("checkpoint_error", ""),
    )


def _failed(message: dict[str, Any]) -> Failed:
    return Failed(Fault(message["fault"]), message["detail"], message["traceback"], message["signature"])


def _of_status(status: int) -> Exit:
    return Exit(code=status) if status >= 0 else Exit(signal=-status)


def _died_importing(status: int) -> Failed:
    """A server that ended before it could serve: something in the import ended the process."""
    how = f"code {status}" if status >= 0 else signal.Signals(-status).name
    faulted = from_words(
        Fault.USER_BUG, f"objective cannot be imported: the process ended with {how}", "import", how
    )
    return Failed(faulted.fault, faulted.detail, faulted.traceback, faulted.signature)
