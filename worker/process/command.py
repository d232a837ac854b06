"""A command in the place of an objective: run without a shell, followed by what it writes, its end turned into ours.

It tells by JSON objects, one a line, on stdout or into the file CELERIAC_RESULTS, which may be opened as often as it
likes: `{"step": 3, "value": 0.91}` is a report (`metrics`, and `checkpoint`, a file that it has written below
CELERIAC_CHECKPOINTS, may stand beside it), and `{"score": 0.93}` the score, with what `celeriac.Result` has beside it.
Other lines are output like any other.
"""

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from celeriac.domain.study_file import filled
from celeriac.result import Result
from celeriac.trial import Trial, own_process_group

#: What is kept of stderr for the fault.
TAIL_BYTES = 2_000
#: A longer line is no report.
MOST_LINE_BYTES = 1 << 20
#: What a command that is stopped has left to end by itself.
GRACE_S = 5.0
_READ_BYTES = 65_536


class CommandFailed(RuntimeError):
    """The command ended badly, or said something that is no report; `marks` tell one such failure from another."""

    def __init__(self, text: str, *marks: str) -> None:
        super().__init__(text)
        self.marks = marks


class Command:
    """Called with a trial: runs the command of the study for it; in a gang one process for each member."""

    def __init__(self, command: str, code_root: str) -> None:
        """Runs in `code_root`. What it starts meets the others of a gang itself, as under torchrun."""
        self._command, self._root = command, code_root
        own_process_group(self)

    def __call__(self, trial: Trial) -> Any:
        """The score and metrics that the command told. Raises CommandFailed, and TrialStopped where it was stopped."""
        words = filled(self._command, {**trial.params, **values_of(trial)})
        with tempfile.TemporaryDirectory(prefix="celeriac-command-") as place:
            results, checkpoints = Path(place, "results"), Path(place, "checkpoints")
            checkpoints.mkdir()
            os.mkfifo(results)
            environment = {**os.environ, **environment_of(trial, results, checkpoints)}
            process = _started(words, self._root, environment)
            heard = Heard(trial, checkpoints, self._root)
            try:
                tail = _follow(process, results, heard)
                code = process.wait()
            finally:
                _end(process)
            if results.is_file():  # it was written anew, and not appended to
                heard.take(results.read_bytes(), is_all=True)
        return _came_of(code, tail, heard, is_lead=not trial.rank)


def values_of(trial: Trial) -> dict[str, Any]:
    """What a command's words may name beside its parameters."""
    return {
        "celeriac.study": trial.study,
        "celeriac.trial": trial.number,
        "celeriac.attempt": trial.attempt,
        "celeriac.seed": trial.seed,
        "celeriac.device": trial.device,
        "celeriac.start": trial.start,
    }


def environment_of(trial: Trial, results: Path, checkpoints: Path) -> dict[str, str]:
    """What the command finds in its environment."""
    given = {name.replace(".", "_").upper(): str(value) for name, value in values_of(trial).items()}
    return given | {
        "CELERIAC_PARAMS": json.dumps(dict(trial.params)),
        "CELERIAC_CONTEXT": json.dumps(dict(trial.context), default=str),
        "CELERIAC_CHECKPOINT": trial.checkpoint or "",
        "CELERIAC_CHECKPOINTS": str(checkpoints),
        "CELERIAC_RESULTS": str(results),
        "PYTHONUNBUFFERED": "1",
    }


def _started(words: list[str], root: str, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    if words[0] == "python" and shutil.which("python", path=environment.get("PATH")) is None:
        words = [sys.executable, *words[1:]]
    try:
        return subprocess.Popen(
            words,
            cwd=root,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )
    except OSError as error:
        raise CommandFailed(f"command: {words[0]} cannot be started here: {error.strerror}", "start") from None


def _follow(process: "subprocess.Popen[bytes]", results: Path, heard: "Heard") -> bytes:
    """Take in what it writes until both its outputs are closed; the end of stderr. Passes the output on as it comes."""
    assert process.stdout is not None  # noqa: S101 (both are pipes)
    assert process.stderr is not None  # noqa: S101
    # Our own end for writing keeps the file open between those who open and close it.
    file = os.open(results, os.O_RDWR | os.O_NONBLOCK)
    lines = {process.stdout.fileno(): heard.lines(), file: heard.lines()}
    copies = {process.stdout.fileno(): 1, process.stderr.fileno(): 2}
    tail, open_ends = b"", set(copies)
    try:
        with selectors.DefaultSelector() as selector:
            for each in (*copies, file):
                selector.register(each, selectors.EVENT_READ)
            while open_ends:
                for key, _ in selector.select():
                    data = os.read(key.fd, _READ_BYTES)
                    if not data:
                        selector.unregister(key.fd)
                        open_ends.discard(key.fd)
                    if key.fd in copies:
                        _write(copies[key.fd], data)
                    if key.fd == process.stderr.fileno():
                        tail = (tail + data)[-TAIL_BYTES:]
                    elif data:
                        lines[key.fd](data)
            with suppress(BlockingIOError):
                while data := os.read(file, _READ_BYTES):
                    lines[file](data)
        for read in lines.values():
            read(b"\n")  # a last line without an end
    finally:
        os.close(file)
    return tail


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End what is left of it: itself and what it started in its group."""
    for word in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, word)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


class Heard:
    """What the command has told so far."""

    def __init__(self, trial: Trial, checkpoints: Path, root: str) -> None:
        self.score: Any = None
        self.has_score = False
        self.metrics: dict[str, Any] = {}
        self.beside: dict[str, Any] = {}
        self._trial, self._checkpoints, self._root = trial, checkpoints, root

    def lines(self) -> Callable[[bytes], None]:
        """One stream's reader: it takes bytes however they were cut."""
        held = bytearray()

        def read(data: bytes) -> None:
            held.extend(data)
            *whole, rest = bytes(held).split(b"\n")
            held[:] = rest if len(rest) <= MOST_LINE_BYTES else b""
            for line in whole:
                self.take(line)

        return read

    def take(self, line: bytes, *, is_all: bool = False) -> None:
        """One line; with `is_all`, all lines of a file. Raises TrialStopped as `trial.report` does."""
        for each in line.splitlines() if is_all else [line]:
            message = _object(each)
            if "score" in message:
                self.has_score, self.score = True, message["score"]
                self.metrics |= _metrics(message)
                self.beside |= {key: message[key] for key in ("holdout", "drift") if key in message}
                if "model" in message:
                    written = Path(self._root, str(message["model"]))
                    self.beside["model"] = partial(shutil.copyfile, written)
            elif "step" in message and "value" in message:
                self._report(message)

    def _report(self, message: Mapping[str, Any]) -> None:
        saved = message.get("checkpoint")
        save = None if saved is None else self._saver(saved)
        self._trial.report(message["value"], step=message["step"], metrics=_metrics(message), checkpoint=save)

    def _saver(self, name: Any) -> Callable[[str], object]:
        """Moves a file that the command has written to where the trial's checkpoints are. Raises CommandFailed."""
        found = Path(self._checkpoints, str(name)).resolve()
        if not found.is_relative_to(self._checkpoints.resolve()) or not found.is_file():
            raise CommandFailed(
                f"command: checkpoint {name!r} is no file below CELERIAC_CHECKPOINTS: write it there first",
                "checkpoint",
            )
        return lambda path: shutil.move(found, path)


def _metrics(message: Mapping[str, Any]) -> dict[str, Any]:
    metrics = message.get("metrics") or {}
    if not isinstance(metrics, Mapping):
        raise CommandFailed(f"command: metrics must map names to numbers or texts, not {metrics!r}", "metrics")
    return dict(metrics)


def _object(line: bytes) -> Mapping[str, Any]:
    """The JSON object on a line; an empty one where there is none."""
    if not line.lstrip().startswith(b"{"):
        return {}
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _came_of(code: int, tail: bytes, heard: Heard, *, is_lead: bool = True) -> Result | None:
    said = tail.decode(errors="replace").strip()
    if code:
        how = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
        last = said.splitlines()[-1] if said else ""
        raise CommandFailed(f"the command ended with {how}: {said or 'it wrote nothing to stderr'}", how, last)
    if not heard.has_score and not is_lead:
        return None  # rank 0 tells the score
    if not heard.has_score:
        raise CommandFailed(
            'the command ended well and told no score: have it write a line such as {"score": 0.93} to stdout, or'
            " into the file that CELERIAC_RESULTS names",
            "no score",
        )
    return Result(heard.score, metrics=heard.metrics, **heard.beside)
