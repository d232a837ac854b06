"""`celeriac up | head`: who has closed the pipe is told nothing more, and the program comes to its end all the same."""

import os
import subprocess
import sys
from pathlib import Path


def test_a_closed_stdout_ends_nothing_and_prints_no_traceback(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "celeriac.local", "down", "--home", str(tmp_path)]
    with os.fdopen(write, "w") as nobody:
        done = subprocess.run(command, stdout=nobody, stderr=subprocess.PIPE, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
