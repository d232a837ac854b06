"""Objectives that attack what they can reach: the channel, descriptors, folders, their server.
`trial.context["pids"]`: where they tell process ids.
"""

import os
import shutil
import signal
import socket
import struct
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from celeriac.trial import Result, Trial


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


def looks_around(trial: Trial) -> Result:
    """What it holds of its server, and whom the kernel ends first for memory."""
    held = [what for what in _open_in(os.getpid()) if what.startswith("socket:")]
    inherited = len(set(held) & set(_open_in(os.getppid())))
    adjusted = int(Path("/proc/self/oom_score_adj").read_text())
    return Result(1.0, metrics={"sockets": len(held), "of_its_server": inherited, "adjusted": adjusted})


def _open_in(pid: int) -> list[str]:
    found = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):  # the listing's own
            found.append(os.readlink(f"/proc/{pid}/fd/{number}"))
    return found


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
    """A daemon with an empty environment, a session of its own, no parent and no descriptor of ours; `then` kills the
    server.
    """
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            Path(trial.context["pids"]).write_text(str(os.getpid()))
            os.closerange(0, 4096)
            os.execve("/bin/sleep", ["sleep", "3600"], {})
        os._exit(0)
    os.wait()
    while not Path(trial.context["pids"]).exists() or _name(Path(trial.context["pids"]).read_text()) != "sleep":
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


def at_home(trial: Trial) -> Result:
    """Look at the directories of its own, fill them, and close one to itself."""
    home, temporary = Path.home(), Path(tempfile.gettempdir())
    found = [str(path) for place in (home, temporary) for path in place.iterdir()]
    (home / ".profile").write_text("planted")
    (temporary / "closed").mkdir()
    (temporary / "closed" / "file").write_text("x")
    (temporary / "closed").chmod(0)
    (temporary / "link").symlink_to(trial.context["below"])
    if trial.params.get("then") == "die":
        print(home.parent, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return Result(float(len(found)), metrics={"home": str(home), "temporary": str(temporary)})


def takes_too_much(trial: Trial) -> float:
    """Many processes, or much memory in two of them, then wait for ever."""
    for _ in range(trial.params.get("processes", 0)):
        if os.fork() == 0:
            signal.pause()
    if "bytes" in trial.params:
        held = bytearray(trial.params["bytes"])
        held[::4096] = b"x" * len(held[::4096])
        os.fork()
    signal.pause()
    return 1.0
