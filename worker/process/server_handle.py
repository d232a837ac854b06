"""The runner's hold on one fork server: its process, the socket to it, and the child that waits there for the next
trial.

Servers are started by Popen (multiprocessing refuses inside a Celery pool process), from the thread that must outlive
them: their parent-death signal follows it.
"""

import json
import os
import socket
import subprocess
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.process import linux, scratch
from worker.process.limits import Limits
from worker.process.server import Plan

_PACKET_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Code:
    """What a server holds: a changed file has another fingerprint, and so another server.

    `objective`: `module:function` written for `api` ("": for Celeriac), or, for the api "command", a command line.
    """

    root: str
    fingerprint: str
    objective: str
    api: str = ""


@dataclass(frozen=True, slots=True)
class SlotServers:
    """What a slot's servers share. `idle_s`: how long one stays without trials; `scratch`: for trials' directories."""

    environment: Mapping[str, str]
    tag: str
    idle_s: float
    scratch: Path
    limits: Limits


@dataclass(frozen=True, slots=True)
class Standby:
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


class ServerHandle:
    """One `python -m worker.process.server` process and the socket to it."""

    def __init__(self, code: Code, slot: SlotServers) -> None:
        """All that the server starts is marked with the slot's tag, and with a mark of the server's own."""
        self.mark = uuid.uuid4().hex
        self._scratch = slot.scratch / self.mark
        self.served = False
        self.ready: dict[str, Any] | None = None
        self.standby: Standby | None = None
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            plan = Plan(
                theirs.fileno(),
                os.getpid(),
                code.root,
                code.objective,
                slot.idle_s,
                api=code.api,
                tag=slot.tag,
                mark=self.mark,
                scratch=str(self._scratch),
                most_tasks=slot.limits.tasks,
                most_bytes=slot.limits.memory_bytes,
            )
            self.process = subprocess.Popen(
                plan.command(),
                env=dict(slot.environment),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self.control.setblocking(False)

    def send(self, packet: dict[str, Any]) -> None:
        """Send a packet; a server that is gone is noticed when it is read from."""
        with suppress(OSError):
            self.control.send(json.dumps(packet).encode())

    def has_spoken(self) -> bool:
        """Whether it has said how the import went; what it said is there to be received."""
        if self.ready is not None:
            return True
        try:
            self.control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def receive(self) -> tuple[dict[str, Any] | None, list[int]] | None:
        """The next packet with its descriptors, None when there is none now, (None, []) when the server is gone.

        Raises ValueError for what is no packet: the objective's module is imported in that process, and may write to
        any descriptor.
        """
        try:
            data, descriptors, _, _ = socket.recv_fds(self.control, _PACKET_BYTES, 2)
        except BlockingIOError:
            return None
        except OSError:
            return None, []
        if not data:
            return None, []
        packet = json.loads(data)
        if not isinstance(packet, dict):
            raise ValueError(f"a packet holds {type(packet).__name__}, not an object")
        return packet, descriptors

    def take(self) -> Standby | None:
        """The standby, which is the trial's process from now on; None when there is none yet: then it was asked for."""
        standby, self.standby = self.standby, None
        if standby is not None and standby.waits():
            self.send({"kind": "take", "pid": standby.pid})
            return standby
        if standby is not None:
            standby.close()
        self.send({"kind": "standby", "gone": standby.pid if standby else None})
        return None

    def gone(self) -> bool:
        """Whether the process has ended (collects its status)."""
        return self.process.poll() is not None

    def close(self) -> None:
        """Ask it to end: it ends everything below it first."""
        self.control.close()
        if self.standby is not None:
            self.standby.close()
            self.standby = None

    def finish(self, within_s: float) -> int:
        """Wait for its end, by force after `within_s`; then sweep what may have escaped it. Returns its status."""
        self.close()
        try:
            status = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        linux.end_marked(linux.server_mark(self.mark))
        scratch.remove(self._scratch)
        return status
