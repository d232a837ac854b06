"""The fork server: `python -m worker.process.server`. It holds one objective in memory and forks a warm child of it
for each trial.

Promises:
* One trial at a time, and one standby child that is forked ahead and waits for the next; the runner holds both its
  ends already.
* A trial is reported as ended only when every process below it is gone: orphans come to the server (it is a
  subreaper), and everything below it but the standby is TERMed, then KILLed.
* The server lives as long as its starter: end of the socket, or the starter's death, ends it and everything below it.
* It ends by itself after `idle_s` without a trial.
* If the import initialises CUDA, or leaves threads or processes behind, forking it is unsound: the server starts
  itself afresh without the import, and each child imports for itself ("isolation: fresh").

Packets, one JSON object each, over a SOCK_SEQPACKET socket. In: `standby` {gone} (have the next one there; not the one
with the pid `gone`), `take` {pid} (the standby gets the trial), `kill` {grace_s}, `farewell` {within_s} (kill what is
still there then). Out: `ready` {isolation, note},
`failed` {a fault}, `standby` {pid} with the child's socket and output pipe, `ended` {pid, code, signal,
peak_memory_bytes, oom_kills, leftovers, killed}.
"""

import json
import math
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from celeriac.domain.lifecycle import moved
from celeriac.runtime.process.linux import become_subreaper, die_with_parent
from worker.process import child, last_frame, linux, scratch
from worker.process.calls import callable_of
from worker.process.failure import Failed
from worker.process.frames import PROCESS_TRANSITIONS, ProcessEvent, ProcessState
from worker.process.limits import Limits
from worker.process.objective import Objective, Unusable, cuda_is_initialised, native_threads, settle, why_not_fork

LEFTOVER_GRACE_S = 1.0
LOOK_S = 1.0  # how often a running trial's processes are counted
_PACKET_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Plan:
    """What a server is started with. `fresh`: why children import for themselves; `ahead`: they may do so early."""

    control: int
    parent: int
    code_root: str
    objective: str
    idle_s: float
    api: str = ""
    fresh: str = ""
    ahead: bool = True
    tag: str = ""
    mark: str = ""
    scratch: str = ""
    most_tasks: int = 0
    most_bytes: int = 0

    def command(self) -> list[str]:
        """The command line that starts a server with this plan; -P keeps the current directory off the path."""
        return [sys.executable, "-P", "-m", "worker.process.server", json.dumps(asdict(self))]


@dataclass(slots=True)
class _Process:
    """A forked child, where it stands, and how it ended."""

    pid: int
    place: Path
    state: ProcessState = ProcessState.READY
    oom_kills: int = 0
    ended: dict[str, Any] = field(default_factory=dict)

    def move(self, event: ProcessEvent) -> None:
        """As the table has it."""
        self.state = moved(PROCESS_TRANSITIONS, self.state, event, thing=f"process {self.pid}")


class Server:
    """The serving loop, after the import."""

    def __init__(self, plan: Plan, control: socket.socket, objective: Objective | None) -> None:
        self._plan, self._control, self._objective = plan, control, objective
        self._pid = os.getpid()
        self._standby: _Process | None = None
        self._trial: _Process | None = None
        self._kill_at = self._look_at = self._farewell_at = math.inf
        self._killed = False
        self._leftovers: set[int] = set()
        self._limits = Limits(plan.most_tasks, plan.most_bytes)
        self._passed: Failed | None = None
        self._scratch = Path(plan.scratch)
        self._tidying: set[int] = set()
        self._forked = 0
        self._closing = False
        self._idle_from = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = socket.socketpair()
        for end in (self._wake, self._waker):
            end.setblocking(False)

    def serve(self) -> None:
        """Serve until the starter is gone, or idleness ends it."""
        self._listen()
        self._send({"kind": "ready", "isolation": "fresh" if self._plan.fresh else "shared", "note": self._plan.fresh})
        self._have_standby(gone=None)
        while not self._closing:
            self._selector.select(self._patience())
            with suppress(BlockingIOError):
                self._wake.recv(65_536)
            self._obey()
            self._reap()
            self._hold_to_limits()
            self._settle_trial()
            if self._trial is None and time.monotonic() >= self._idle_from + self._plan.idle_s:
                self._closing = True
        self._end_everything()

    def _listen(self) -> None:
        """From here on the starter's death is a wish to close, so that descendants are swept before we go."""
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        die_with_parent(self._plan.parent, signal.SIGTERM)
        self._control.setblocking(False)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)

    def _on_term(self, *_: object) -> None:
        self._closing = True

    def _patience(self) -> float | None:
        """Seconds until there is something to do unasked."""
        idle_at = self._idle_from + self._plan.idle_s
        next_at = idle_at if self._trial is None else min(self._look_at, self._kill_at, self._farewell_at)
        return None if next_at == math.inf else max(0.0, next_at - time.monotonic())

    # -- commands -----------------------------------------------------------------------------------------------------
    def _obey(self) -> None:
        while not self._closing:
            try:
                packet = self._control.recv(_PACKET_BYTES)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._closing = True
                return
            try:
                self._heed(json.loads(packet))
            except (ValueError, KeyError, TypeError) as error:
                print(f"celeriac: the fork server passes over a packet that is none: {error}", file=sys.stderr)

    def _heed(self, command: dict[str, Any]) -> None:
        if command["kind"] == "take":
            self._begin(command["pid"])
        elif command["kind"] == "standby":
            self._have_standby(command["gone"])
        elif command["kind"] == "kill" and self._trial is not None:
            self._killed = True
            self._terminate(float(command["grace_s"]))
        elif command["kind"] == "farewell" and self._trial is not None:
            self._farewell_at = time.monotonic() + float(command["within_s"])

    def _begin(self, pid: int) -> None:
        """The standby is the trial's process now; should it have died meanwhile, that is how the trial ended."""
        if self._standby is None or self._standby.pid != pid or self._trial is not None:
            print(f"celeriac: process {pid} was taken, but {self._standby} waits: ending", file=sys.stderr)
            self._closing = True
            return
        self._trial, self._standby = self._standby, None
        if self._trial.state is ProcessState.READY:
            self._trial.move(ProcessEvent.BEGIN)
        self._trial.oom_kills = linux.oom_kills()
        self._kill_at, self._killed, self._leftovers, self._passed = math.inf, False, set(), None
        self._look_at = time.monotonic() + LOOK_S if self._limits else math.inf

    def _have_standby(self, gone: int | None) -> None:
        """Fork a child that waits for its job, and hand its ends to the runner, which may have one that it can take."""
        before = self._standby
        if before is not None and before.pid != gone:
            return
        if before is not None and before.state is ProcessState.READY:
            linux.signal_all([before.pid], signal.SIGKILL)
            os.waitpid(before.pid, 0)
        if before is not None:
            self._tidy(before.place)
        channel, theirs = socket.socketpair()
        output, printed = os.pipe()
        last_frame.flush_output()  # what is buffered here must not come out of every child too
        self._forked += 1
        place = scratch.make(self._scratch / str(self._forked))
        pid = os.fork()
        if pid == 0:
            self._be_child(channel, theirs, output, printed, place)
        theirs.close()
        os.close(printed)
        self._standby = _Process(pid, place)
        self._send({"kind": "standby", "pid": pid}, channel.fileno(), output)
        channel.close()
        os.close(output)

    def _be_child(
        self, channel: socket.socket, theirs: socket.socket, output: int, printed: int, place: Path
    ) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            for end in (self._control, self._wake, self._waker, channel):
                end.close()
            os.close(output)
            self._selector.close()
            child.live(
                theirs,
                printed,
                server=self._pid,
                place=place,
                code_root=self._plan.code_root,
                objective=self._plan.objective,
                api=self._plan.api,
                loaded=self._objective,
                ahead=self._plan.ahead,
            )
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(70)  # EX_SOFTWARE: `live` never returns, so this was our own failure

    # -- ends ---------------------------------------------------------------------------------------------------------
    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._tidying.discard(pid)
            for process in (self._trial, self._standby):
                if process is not None and process.pid == pid:
                    process.ended = _how(pid, status, usage.ru_maxrss)
                    process.move(ProcessEvent.CONCLUDE)

    def _hold_to_limits(self) -> None:
        """End a trial that takes too much; its processes are stopped first, so that none starts another meanwhile."""
        now = time.monotonic()
        if self._trial is None or now < self._look_at:
            return
        self._look_at = now + LOOK_S
        passed = self._limits.passed(linux.tree_of(self._pid, spare=self._spared()))
        if passed is not None:
            self._passed, self._killed, self._look_at = passed, True, math.inf
            stopped: set[int] = set()
            while fresh := self._of_trial() - stopped:
                linux.signal_all(fresh, signal.SIGSTOP)
                stopped |= fresh
            self._terminate(0.0)

    def _tidy(self, place: Path) -> None:
        """Remove a trial's own directories, beside the next trial where that takes a while."""
        if scratch.removed_quickly(place):
            return
        pid = os.fork()
        if pid == 0:
            try:
                die_with_parent(self._pid)
                scratch.remove(place)
            finally:
                os._exit(0)
        self._tidying.add(pid)

    def _settle_trial(self) -> None:
        """End what outlived the trial's process, press on with a kill, and report the end when nothing is left."""
        if self._trial is None:
            return
        if self._trial.state is ProcessState.TOLD:
            left = linux.children(self._pid) - self._spared()
            if not left:
                self._report_end(self._trial)
                return
            self._leftovers |= left
            if self._kill_at == math.inf:
                self._terminate(LEFTOVER_GRACE_S)
        if time.monotonic() >= self._farewell_at:
            self._farewell_at, self._killed = math.inf, True
            self._terminate(LEFTOVER_GRACE_S)
        if time.monotonic() >= self._kill_at:
            linux.signal_all(self._of_trial(), signal.SIGKILL)
            # Each death wakes us to look again; the interval is for what was forked between our look and its parent's
            # end.
            self._kill_at = time.monotonic() + LEFTOVER_GRACE_S

    def _terminate(self, grace_s: float) -> None:
        """TERM now; KILL after the grace, or at once when a kill with a shorter one is asked for meanwhile."""
        self._kill_at = min(time.monotonic() + grace_s, self._kill_at)
        linux.signal_all(self._of_trial(), signal.SIGTERM if grace_s > 0 else signal.SIGKILL)

    def _of_trial(self) -> set[int]:
        """Everything below the server but the standby and what is below it."""
        return linux.descendants(self._pid, spare=self._spared())

    def _spared(self) -> set[int]:
        return self._tidying | (set() if self._standby is None else {self._standby.pid})

    def _report_end(self, process: _Process) -> None:
        process.move(ProcessEvent.END)
        self._send(
            {
                "kind": "ended",
                **process.ended,
                # Files to read, of a kernel that counts slowly: not while the next trial waits, for one that ended by
                # itself.
                "oom_kills": 0 if process.ended["code"] == 0 else linux.oom_kills() - process.oom_kills,
                "leftovers": len(self._leftovers),
                "killed": self._killed,
                "passed": None if self._passed is None else self._passed.message(),
            }
        )
        self._trial, self._kill_at, self._look_at, self._farewell_at = None, math.inf, math.inf, math.inf
        self._tidy(process.place)
        self._idle_from = time.monotonic()

    def _end_everything(self) -> None:
        """Leave nothing below us; then the interpreter ends, and runs what the import registered for that."""
        self._control.close()
        while True:
            linux.signal_all(linux.descendants(self._pid), signal.SIGKILL)
            try:
                os.wait()
            except ChildProcessError:
                break
        scratch.remove(self._scratch)

    def _send(self, packet: dict[str, Any], *descriptors: int) -> None:
        try:
            socket.send_fds(self._control, [json.dumps(packet).encode()], descriptors)
        except OSError:
            self._closing = True  # the starter is gone


def main(argv: list[str]) -> int:
    """Import the objective, tell how that went, serve."""
    plan = Plan(**json.loads(argv[1]))
    die_with_parent(plan.parent)
    become_subreaper()
    linux.put_mark(linux.slot_mark(plan.tag), linux.server_mark(plan.mark))
    control = socket.socket(fileno=plan.control)
    os.set_inheritable(plan.control, False)
    objective = None if plan.fresh else _preloaded(plan, control)
    Server(plan, control, objective).serve()
    return 0


def _preloaded(plan: Plan, control: socket.socket) -> Objective:
    """The objective; if it forbids a fork this process starts afresh, if it cannot be had it tells so and ends."""
    threads = native_threads()
    try:
        objective = callable_of(plan.code_root, plan.objective, plan.api)
    except Unusable as unusable:
        control.send(json.dumps({**unusable.faulted.message(), "kind": "failed"}).encode())
        linux.signal_all(linux.descendants(os.getpid()), signal.SIGKILL)
        raise SystemExit(0) from None
    reason = why_not_fork(threads)
    if reason:
        _start_afresh(replace(plan, fresh=reason, ahead=not cuda_is_initialised()))
    settle()
    return objective


def _start_afresh(plan: Plan) -> NoReturn:
    """Become a server that has not imported the objective: same process id, same socket.

    Children then import ahead of their job, unless that would hold GPU memory that the running trial needs.
    """
    linux.signal_all(linux.descendants(os.getpid()), signal.SIGKILL)
    os.set_inheritable(plan.control, True)
    os.execv(sys.executable, plan.command())  # noqa: S606 - a list, no shell


def _how(pid: int, status: int, maxrss_kib: int) -> dict[str, Any]:
    """A wait status in words; the peak is that of the child and of those of its descendants that it waited for."""
    code = os.waitstatus_to_exitcode(status)
    return {
        "pid": pid,
        "code": code if code >= 0 else None,
        "signal": -code if code < 0 else None,
        "peak_memory_bytes": maxrss_kib * 1024,
    }


if __name__ == "__main__":
    raise SystemExit(main(sys.argv))
