"""Objectives that attack what they can reach: the channel, descriptors, folders, their server. `trial.context["pids"]`: where they tell process ids."""

import os
import shutil
import signal
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path

from celeriac.trial import Trial


def spoils(trial: Trial) -> float:
    """Write into every descriptor, then sleep for ever, or come back with a score."""
    for number in range(3, 64):
        with suppress(OSError):
            os.write(number, b"garbage\n")
    if trial.params.get("then") == "sleep":
        time.sleep(3600)
    return 1.0


def sends(trial: Trial) -> float:
    """Write `body` as a frame of our own protocol; with `length`, one that claims to be longer than it is."""
    body = trial.params["body"].encode()
    for number in range(3, 64):
        with suppress(OSError), socket.socket(fileno=os.dup(number)) as found:
            found.sendall(struct.pack(">I", trial.params.get("length", len(body))) + body)
    if trial.params.get("then") == "leave":
        os._exit(0)
    time.sleep(3600)
    return 1.0


def closes_everything(trial: Trial) -> float:
    os.closerange(0, 4096)
    return 1.0


def deletes_its_folders(trial: Trial) -> float:
    for place in (os.environ.get("HOME"), os.environ.get("TMPDIR"), trial.context["own"]):
        if place and place.startswith(trial.context["below"]):
            shutil.rmtree(place)
    trial.report(0.5, step=0, checkpoint=lambda path: Path(path).write_text("again"))
    return 1.0


def deletes_its_code(trial: Trial) -> float:
    shutil.rmtree(os.getcwd())
    return 1.0


def leaves_a_scrubbed_daemon(trial: Trial) -> float:
    """A daemon with an empty environment, a session of its own, no parent and no descriptor of ours; `then` kills the server."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            Path(trial.context["pids"]).write_text(str(os.getpid()))
            os.closerange(0, 4096)
            os.execve("/bin/sleep", ["sleep", "3600"], {})
        os._exit(0)
    os.wait()
    while (
        not Path(trial.context["pids"]).exists() or _name(Path(trial.context["pids"]).read_text()) != "sleep"
    ):
        time.sleep(0.01)
    if trial.params.get("then") == "kill":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(3600)
    return 1.0


def reports_without_end(trial: Trial) -> float:
    step = 0
    while True:
        trial.report(0.5, step=step)
        step += 1


def _name(pid: str) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() if pid else ""
    return ""
