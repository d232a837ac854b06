"""A benchmark's stack ends with it: also when somebody ends the benchmark."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
#: A benchmark whose `up` is a program that says that it is ready, and ends at SIGINT.
PROGRAM = """
import subprocess, sys
from benchmarks import embedded

WAIT = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [2]); "
UP = WAIT + "print({said!r}, flush=True); signal.sigwait([2])"

class Read:
    def __init__(self, up):
        self.up, self.lines, self.told = up, up.stdout, False

    def __iter__(self):
        for line in self.lines:  # `up` has blocked the signal, and the benchmark is reading what it says
            if not self.told:
                self.told = True
                print(self.up.pid, flush=True)
            yield line

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()

def popen(command, **more):
    up = subprocess_popen([sys.executable, "-c", UP], **more)
    up.stdout = Read(up)
    return up

subprocess_popen, subprocess.Popen = subprocess.Popen, popen
with embedded.embedded(1) as stack:
    print(stack.home, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("said", ["Ready after 1 s", "starting"], ids=["running", "starting"])
def test_a_benchmark_that_is_ended_stops_its_stack_and_removes_its_home(said: str) -> None:
    command = [sys.executable, "-c", PROGRAM.replace("{said!r}", repr(said))]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as bench:  # type: ignore[call-overload]
        up = psutil.Process(int(bench.stdout.readline()))
        home = Path(bench.stdout.readline().strip()) if said.startswith("Ready") else None
        bench.send_signal(signal.SIGTERM)
        assert bench.wait(timeout=30) == 128 + signal.SIGTERM
    assert not up.is_running()
    assert home is None or not home.exists()
