"""An embedded stack for a benchmark: started in a home of its own, found by its processes, stopped whole."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from celeriac.client import Client
from celeriac.runtime.settings import Settings


@dataclass
class Embedded:
    """A running `up`, its home, and the way to it."""

    home: Path
    slots: int
    flower: bool
    process: "subprocess.Popen[str]"
    environment: Mapping[str, str]

    @property
    def settings(self) -> Settings:
        """Settings that reach this stack."""
        return Settings.from_env({}, home=self.home)

    def client(self) -> Client:
        """A client of this stack."""
        return Client(self.settings)

    def kill(self) -> None:
        """What a power cut does to `up`: SIGKILL."""
        self.process.kill()
        self.process.wait()

    def start_again(self) -> None:
        """`up` on the same home, after it was killed."""
        self.process = _start(self.home, self.slots, self.flower, self.environment)

    def stop(self) -> None:
        """Ctrl-C, and wait for the end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=90)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise

    def programs(self) -> dict[str, psutil.Process]:
        """The direct children of `up`, by what they are: postgres, redis, drive, clock, beat, node, flower."""
        found = {}
        for child in psutil.Process(self.process.pid).children():
            name = _name_of(child)
            if name:
                found[name] = child
        return found

    def workers(self) -> list[psutil.Process]:
        """The Celery workers' main and pool processes."""
        node = self.programs().get("node")
        mains = [child for child in node.children() if _is_python(child)] if node else []
        return mains + [pool for main in mains for pool in main.children() if _is_python(pool)]


def _is_python(process: psutil.Process) -> bool:
    try:
        return "python" in process.name()
    except psutil.NoSuchProcess:
        return False


def _name_of(process: psutil.Process) -> str | None:
    try:
        words = process.cmdline()
    except psutil.NoSuchProcess:
        return None
    program = Path(words[0]).name if words else ""
    if "postgres" in program:
        return "postgres"
    if "valkey" in program or "redis" in program:
        return "redis"
    for name in ("drive", "clock", "beat", "flower"):
        if "coordinator" in words and name in words:
            return name
    return "node" if "worker" in words else None


def _start(home: Path, slots: int, flower: bool, environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "celeriac.local", "up", "--home", str(home), "--slots", str(slots)]
    process = subprocess.Popen(
        command + ([] if flower else ["--no-flower"]),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    printed = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            printed.append(line)
            if line.startswith("Ready"):
                _drain(process)
                return process
    except BaseException:  # this program is told to end: `up` ends in order, with all that it has started so far
        process.send_signal(signal.SIGINT)
        process.wait(timeout=90)
        raise
    raise RuntimeError(f"`{' '.join(command)}` ended with {process.wait()}:\n{''.join(printed)}")


def _drain(process: "subprocess.Popen[str]") -> None:
    """Read on in the background, so that a talkative stack never blocks on a full pipe."""

    def read() -> None:
        assert process.stdout is not None
        with process.stdout as said:
            for _ in said:
                pass

    threading.Thread(target=read, daemon=True).start()


@contextmanager
def embedded(slots: int, *, flower: bool = False, environment: Mapping[str, str] | None = None) -> Iterator[Embedded]:
    """A fresh stack for the block; its home is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="celeriac-bench-") as home, _sigterm_as_exit():
        settings = environment or {}
        stack = Embedded(Path(home), slots, flower, _start(Path(home), slots, flower, settings), settings)
        try:
            yield stack
        finally:
            stack.stop()


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """Have SIGTERM end the block in order, as Ctrl-C does: by itself it would leave the whole stack behind. A second
    one changes nothing: the end is under way.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def write_json(path: str, figures: Mapping[str, Any]) -> None:
    """Figures to `path`, its directory made, and to the screen."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(figures, indent=2, sort_keys=True)
    Path(path).write_text(text + "\n")
    print(text)
