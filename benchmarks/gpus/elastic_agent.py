"""The same script under torchrun's elastic agent, three agents with a process each (`--nnodes=2:3`): who survives what.

A process, an agent, and the agent that keeps the rendezvous (the host of rank 0's store) are killed with -9. Told is
what became of it in a minute; no bar.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

ROUNDS_EACH, EPOCHS, WITHIN_S = 2, 40, 90.0
EXAMPLE = Path(__file__).parents[2] / "examples" / "gang"
SCRIPT = Path(__file__).parent / "under_torchrun.py"
VICTIMS = ("process", "agent", "agent of the store")


def measure(rounds: int = ROUNDS_EACH) -> dict[str, Any]:
    """For each victim, what became of some rounds."""
    return {victim: [_round(victim) for _ in range(rounds)] for victim in VICTIMS}


def _round(victim: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="celeriac-torchrun-") as home:
        place = Path(home)
        agents = _agents(place)
        try:
            if not _wait(lambda: _step(place) >= 3, WITHIN_S):
                return {"outcome": "did not begin"}
            step = _step(place)
            if victim == "process":
                os.kill(int((place / "pid-1").read_text()), signal.SIGKILL)
            else:
                agents[0 if victim == "agent of the store" else 1].kill()
            began = time.monotonic()
            again = _wait(lambda: _step(place) > step + 2 or _over(place, agents), WITHIN_S)
            again_s = time.monotonic() - began if again and _step(place) > step + 2 else None
            _wait(lambda: _over(place, agents), WITHIN_S)
            scored = (place / "score").exists()
            return {
                "outcome": "scored" if scored else "ended without a score" if _over(place, agents) else "hung",
                "again_s": None if again_s is None else round(again_s, 1),
                "step": _step(place),
                "agents": [each.poll() for each in agents],
            }
        finally:
            for each in agents:
                with suppress(ProcessLookupError):
                    os.killpg(each.pid, signal.SIGKILL)
                each.wait()
            _end_processes(place)


def _end_processes(place: Path) -> None:
    """An agent starts its process in a session of its own: one that outlives its agent belongs to no group of ours."""
    for each in psutil.process_iter(["cmdline"]):
        if str(place) in (each.info["cmdline"] or ()):
            with suppress(psutil.NoSuchProcess):
                each.kill()


def _agents(place: Path) -> list["subprocess.Popen[bytes]"]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["--nnodes=2:3", "--nproc-per-node=1", "--max-restarts=3", "--rdzv-backend=c10d", "--rdzv-id=bench"]
    words += [f"--rdzv-endpoint=127.0.0.1:{port}", "--local-addr=127.0.0.1", "--rdzv-conf=last_call_timeout=2"]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        *words,
        str(SCRIPT),
        str(place),
        str(EXAMPLE),
        str(EPOCHS),
    ]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    found = []
    for number in range(3):
        with (place / f"agent-{number}.log").open("wb") as log:
            found.append(
                subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
            )
        if number == 0:  # who comes first keeps the store
            _wait(lambda: _listens(port), 30)
    return found


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _step(place: Path) -> int:
    newest = place / "newest.json"
    return int(json.loads(newest.read_text())["step"]) if newest.exists() else -1


def _over(place: Path, agents: list["subprocess.Popen[bytes]"]) -> bool:
    return (place / "score").exists() or all(each.poll() is not None for each in agents)


def _wait(true: Any, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.1)
    return bool(true())


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
