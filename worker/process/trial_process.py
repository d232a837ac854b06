"""The runner's end of one trial's process, followed through one descriptor.

Promises: `start`, `send` and `receive` never wait, whatever the user's code does (a slow import included); `kill` and
`close` wait no longer than they were told plus `MARGIN_S`. `Ended` comes once, after every other event, when no
process of the trial is left. Nothing that the process writes makes these raise: a frame that is none, or out of its
turn, is the trial's last word, and its process is killed.
"""

import os
import select
import selectors
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, Literal

from celeriac.domain.errors import IllegalTransition
from celeriac.domain.lifecycle import moved
from worker.process.events import (
    Ended,
    Event,
    Exit,
    Failed,
    Noted,
    OfMember,
    Printed,
    broken,
    died_importing,
    event_of,
    exit_of,
    failed,
)
from worker.process.frames import (
    CHANNEL_LOST,
    FRAMES,
    OF_MEMBER,
    PROCESS_TRANSITIONS,
    Inbox,
    Job,
    ProcessEvent,
    ProcessState,
    encode,
)
from worker.process.server_handle import ServerHandle, Standby

MARGIN_S = 5.0
#: How long a trial's process may take, after its result, for what it left to be run at exit.
FAREWELL_S = 10.0
MAX_JOB_BYTES = 65_536  # fits an empty socket's buffer, so that sending one never waits for the child
_READ_BYTES = 65_536
_READS_A_PASS = 16
_READS_AT_THE_END = 64  # more than the kernel keeps of what the dead have written
_NOT_BEGUN = (ProcessState.ATTACHING, ProcessState.READY)


class TrialProcess:
    """One trial's process. `select` on it; call `receive` when it is readable."""

    def __init__(self, server: ServerHandle, replaced: Callable[[], ServerHandle]) -> None:
        """Made by `ServerPool.take`."""
        self.state = ProcessState.ATTACHING
        self.ended: Exit | None = None
        self.pid: int | None = None
        self._replaced = replaced
        self._selector = selectors.EpollSelector()
        self._events: list[Event] = []
        self._frames: list[bytes] = []  # what was said to the child until it began: another one will need it
        self._words: set[str] = set()  # what it may say that it heeded
        self._sent: set[str] = set()
        self._directory = ""
        self._members: dict[int, str] = {}  # a pack's trials, and the directory of each
        self._member_words: dict[int, set[str]] = {}
        self._killing = self._held = False
        self._inbox = Inbox()
        self._channel: socket.socket | None = None
        self._output: int | None = None
        self._attach(server)

    def fileno(self) -> int:
        """Readable when `receive` is to be called, which may return nothing; the same for the whole trial."""
        return self._selector.fileno()

    def start(self, job: Job) -> None:
        """Hand over the job, as soon as the child is there. Raises FrameTooLarge for one over 64 KiB."""
        self._directory = job.checkpoint_dir
        self._members = {each.number: each.checkpoint_dir for each in job.members}
        self._say(encode({"kind": "job", **asdict(job)}, MAX_JOB_BYTES))

    def hears_elsewhere(self) -> None:
        """It is told to stop, or to hand back, by rank 0 of its gang."""
        self._words |= {"stop", "preempt"}

    def send(self, word: Literal["stop", "preempt", "regroup"]) -> None:
        """Ask the trial to stop, or to hand back, at once or at its next checkpoint (regroup); it hears at its next
        report. Repeats are not sent.
        """
        if word not in self._sent:
            self._sent.add(word)
            self._words.add("preempt" if word == "regroup" else word)
            self._say(encode({"kind": "control", "word": word}))

    def answer(self, step: int) -> None:
        """Tell a judged trial that it goes on after its report of this step."""
        self._say(encode({"kind": "control", "word": "go", "step": step}))

    def stop_member(self, number: int) -> None:
        """Ask this trial of a pack to stop; repeats are not sent."""
        words = self._member_words.setdefault(number, set())
        if "stop" not in words:
            words.add("stop")
            self._say(encode({"kind": "control", "word": "stop", "trial": number}))

    def answer_member(self, number: int, step: int) -> None:
        """Tell a judged trial of a pack that it goes on after its report of this step."""
        self._say(encode({"kind": "control", "word": "go", "step": step, "trial": number}))

    def hold(self, held: bool) -> None:
        """Stop listening to the process, or listen again: meanwhile it waits in `report`, once the socket is full."""
        if self._channel is not None and held != self._held:
            self._held = held
            self._selector.modify(self._channel, 0 if held else selectors.EVENT_READ, self._hear_child)

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
        """TERM, after `grace_s` KILL, everything that the trial started, and wait until it is gone; the standby lives
        on.

        Events that come meanwhile are kept for `receive`. Safe to call at any time and again after an exception.
        """
        if self.ended is None and self.pid is None:
            self._lose("killed before it began", killed=True)
        if self.ended is None:
            self._killing = True
            self._server.send({"kind": "kill", "grace_s": grace_s})
        return self._awaited(grace_s + MARGIN_S) or self._lose("its server did not end it in time", killed=True)

    def farewell(self, within_s: float) -> None:
        """Let the process end by itself; what is there after `within_s` is killed. Never waits: `close` does."""
        if self.ended is None:
            self._server.send({"kind": "farewell", "within_s": within_s})

    def close(self, grace_s: float = FAREWELL_S) -> Exit:
        """Wait up to `grace_s` for the process to end by itself, then kill it. Frees descriptors; may be repeated."""
        ended = self._awaited(grace_s) or self.kill(1.0)
        self._selector.close()
        return ended

    def _over(self) -> bool:
        return self.ended is not None

    def _move(self, event: ProcessEvent) -> None:
        self.state = moved(PROCESS_TRANSITIONS, self.state, event, thing=f"trial's process {self.pid}")

    # -- the server's packets -----------------------------------------------------------------------------------------
    def _attach(self, server: ServerHandle) -> None:
        self._server = server
        self._reused = server.served
        self._selector.register(server.control, selectors.EVENT_READ, self._hear_server)
        if server.ready is not None:
            self._note(server.ready)
        self._hear_server()
        if self._server is server and server.ready is not None and self.pid is None and not self._over():
            self._take()

    def _hear_server(self) -> None:
        while not self._over():
            try:
                received = self._server.receive()
                if received is None:
                    return
                packet, descriptors = received
                if packet is not None:
                    self._on_packet(packet, descriptors)
            except (ValueError, KeyError, TypeError, IndexError, IllegalTransition) as error:
                self._server_spoiled(error)
                return
            if packet is None:
                self._server_gone()
                return

    def _on_packet(self, packet: dict[str, Any], descriptors: list[int]) -> None:
        kind = packet.pop("kind")
        if kind == "ready":
            self._server.ready = packet
            self._note(packet)
            self._take()
        elif kind == "failed":
            self._events.append(failed(packet))
            self._server.finish(MARGIN_S)
            self._end(Exit(code=0))
        elif kind == "standby":
            self._server.standby = Standby(packet["pid"], socket.socket(fileno=descriptors[0]), descriptors[1])
            if self.pid is None and self._server.ready is not None:
                self._take()
        elif kind == "ended" and packet.pop("pid") == self.pid:
            passed = packet.pop("passed")
            self._gone(Exit(**packet), None if passed is None else failed(passed))

    def _note(self, ready: dict[str, Any]) -> None:
        if ready["note"]:
            self._events.append(Noted(f"isolation: {ready['isolation']}: {ready['note']}"))

    def _take(self) -> None:
        standby = self._server.take()
        if standby is None:
            return
        self._server.served = True
        self.pid, self._channel, self._output = standby.pid, standby.channel, standby.output
        self._move(ProcessEvent.FORK)
        self._channel.setblocking(False)
        os.set_blocking(self._output, False)
        self._selector.register(self._channel, selectors.EVENT_READ, self._hear_child)
        self._selector.register(self._output, selectors.EVENT_READ, self._hear_output)
        for frame in self._frames:
            self._write(frame)

    def _server_gone(self) -> None:
        """The socket ended: the server was idle for too long, died of the import, or was killed."""
        if self._reused and self.state in _NOT_BEGUN:
            self._selector.unregister(self._server.control)
            self._drop_channel()
            self._drop_output()
            self.pid = None
            self._move(ProcessEvent.REPLACE)
            self._attach(self._replaced())
            return
        status = self._server.finish(MARGIN_S)
        self._drain()
        if self.pid is None and status != -signal.SIGKILL:
            self._events.append(died_importing(status))
        how = f"with code {status}" if status >= 0 else f"by signal {-status}"
        self._end(exit_of(status) if self.pid is None else Exit(lost=f"its server ended {how}"))

    def _server_spoiled(self, error: Exception) -> None:
        """The socket carries what no server sends: only the import of the objective's module can have written it."""
        if self.state is not ProcessState.TOLD:
            self._events.append(broken(f"its module did, when imported: {error}"))
        if self.state in FRAMES:
            self._move(ProcessEvent.CONCLUDE)
        self._lose("what its server said cannot be read", killed=True)

    # -- the child's messages -----------------------------------------------------------------------------------------
    def _hear_child(self, reads: int = _READS_A_PASS) -> None:
        for _ in range(reads):
            data = self._read_channel()
            if data is None:
                return
            if not data:
                self._drop_channel()
                return
            try:
                for message in self._inbox.feed(data):
                    self._on_frame(message)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                self._break(str(error) or type(error).__name__)
                return

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

    def _on_frame(self, message: dict[str, Any]) -> None:
        if self.state is ProcessState.TOLD:
            return  # of a thread that the objective left behind
        allowed = FRAMES.get(self.state, {})
        if message["kind"] not in allowed:
            raise ValueError(f"a frame of the kind {message['kind']!r} while it is {self.state}")
        if message["kind"] == "member":
            self._events.append(self._of_member(message))
            return
        self._events.append(event_of(message, words=self._words, directory=self._directory))
        event = allowed[message["kind"]]
        if event is not None:
            self._move(event)
        if event is ProcessEvent.BEGIN:
            self._frames.clear()
            self._server.send({"kind": "standby", "gone": None})

    def _of_member(self, message: dict[str, Any]) -> OfMember:
        number, frame = message["trial"], message["frame"]
        if frame["kind"] not in OF_MEMBER:
            raise ValueError(f"a frame of the kind {frame['kind']!r} of one trial of a pack")
        words = self._words | self._member_words.get(number, set())
        return OfMember(number, event_of(frame, words=words, directory=self._members[number]))  # type: ignore[arg-type]

    def _break(self, why: str) -> None:
        """Take bytes that no child of ours sends for the trial's last word, unless that is said, and end it at once."""
        self._drop_channel()
        if self.state is ProcessState.TOLD:
            return
        self._events.append(broken(why))
        self._move(ProcessEvent.CONCLUDE)
        self._server.send({"kind": "kill", "grace_s": 0.0})

    def _hear_output(self, reads: int = _READS_A_PASS) -> None:
        for _ in range(reads):
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

    # -- ends ---------------------------------------------------------------------------------------------------------
    def _gone(self, ended: Exit, passed: Failed | None) -> None:
        """The server says that nothing of the trial is left, and which limit it had `passed`, if that was why."""
        self._drain()
        if passed is not None and self.state in FRAMES:
            self._events.append(passed)
        elif self.state is ProcessState.RUNNING and ended.code == CHANNEL_LOST:
            self._events.append(broken("it is closed"))
        elif self.state is ProcessState.RUNNING and ended.code == 0 and self._inbox.unfinished:
            self._events.append(broken("what it said last is no frame"))
        self._end(ended)

    def _drain(self) -> None:
        """Read what the dead left in the socket and the pipe."""
        self._hear_child(_READS_AT_THE_END)
        self._hear_output(_READS_AT_THE_END)

    def _lose(self, why: str, *, killed: bool) -> Exit:
        """Give up on the server: end it and everything that carries its mark."""
        self._server.process.kill()
        self._server.finish(MARGIN_S)
        self._drain()
        return self._end(Exit(lost=why, killed=killed))

    def _end(self, ended: Exit) -> Exit:
        if self._killing and not ended.killed:
            ended = replace(ended, killed=True)
        self._move(ProcessEvent.END)
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
        if self.state in _NOT_BEGUN:
            self._frames.append(frame)
        self._write(frame)

    def _write(self, frame: bytes) -> None:
        if self._channel is not None:
            with suppress(OSError):
                self._channel.sendall(frame)
