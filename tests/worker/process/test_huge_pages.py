"""Large pages: only our own private, writable memory, only whole pages of it, and a process works on afterwards."""

import os
import subprocess
import sys

from worker.process.huge_pages import HUGE_BYTES, whole_pages


def test_only_whole_pages_of_private_memory_are_taken() -> None:
    lines = [
        "7f0000100000-7f0000900000 rw-p 00000000 00:00 0 ",
        "7f0001000000-7f0001100000 rw-p 00000000 00:00 0          [heap]",
        "7f0002000000-7f0002400000 r--p 00000000 00:00 0",
        "7f0003000000-7f0003400000 rw-s 00000000 00:00 0",
        "7f0004000000-7f0004400000 rw-p 00000000 fe:00 12  /usr/lib/libx.so",
    ]
    assert list(whole_pages(lines)) == [(0x7F0000200000, 3 * HUGE_BYTES)]


def test_a_process_lives_on_with_its_memory_whole_and_can_fork() -> None:
    code = (
        "import os\nfrom worker.process.huge_pages import collapse\n"
        "kept = [bytes([n % 251]) * 4096 for n in range(8192)]\n"
        "collapse()\n"
        "pid = os.fork()\n"
        "whole = all(kept[n] == bytes([n % 251]) * 4096 for n in range(8192))\n"
        "os._exit(0 if whole else 1) if pid == 0 else None\n"
        "raise SystemExit(os.waitpid(pid, 0)[1] or (0 if whole else 1))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ)).returncode == 0
