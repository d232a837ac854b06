"""What went wrong in the user's code, in words: class of fault, detail, trimmed traceback, signature. Pure but for
reading frames.

The signature is the same for the same failure at the same place, on whichever host, so that three in a row can be told.
"""

import errno
import hashlib
import os
import sys
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from celeriac.domain.states import Fault

MAX_DETAIL = 2_000
MAX_TRACEBACK = 24_000
_LAST_FRAMES = 3
_HERE = str(Path(__file__).parents[1]) + os.sep
# How libraries say it when they do not raise MemoryError.
_NO_MEMORY = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "HIP out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "cudaErrorMemoryAllocation",
    "can't allocate memory",
    "not enough memory",
    "out of memory on device",
    "RESOURCE_EXHAUSTED: Out of memory",
    "std::bad_alloc",
)
# What a driver or a library says of a device that is gone or broken: another one would have done.
_SICK = (
    "uncorrectable ECC error",
    "uncorrectable NVLink error",
    "GPU is lost",
    "fallen off the bus",
    "no CUDA-capable device is detected",
    "CUDA-capable device(s) is/are busy or unavailable",
    "hardware stack error",
)
# Of a GPU without this share of its memory free, an error of its libraries is one of memory: they often say it
# otherwise, as that they could not be initialised.
_FULL = 0.02
_GPU_WORDS = ("CUDA", "CUBLAS", "cuBLAS", "CUDNN", "cuDNN", "NCCL")


@dataclass(frozen=True, slots=True)
class Failed:
    """The objective's own fault, in words, as the child tells it; `signature` is equal for equal failures."""

    fault: Fault
    detail: str
    traceback: str = ""
    signature: str = ""

    def message(self) -> dict[str, Any]:
        """As a frame for the runner."""
        return {"kind": "fault", **asdict(self)}


def from_exception(error: BaseException, code_root: str, *, doing: str = "") -> Failed:
    """What the user's code raised; `doing` goes before the detail, as in "objective cannot be imported"."""
    trace = _users(error.__traceback__)
    last = _in_one_line(error)
    if isinstance(error, SystemExit):
        last = f"exited with code {0 if error.code is None else error.code}: return a score instead"
    detail = f"{doing}: {last}" if doing else last
    fault, why = _class_of(error)
    detail += f" ({why})" if why else ""
    return Failed(
        fault,
        _cut(detail, MAX_DETAIL),
        _cut("".join(traceback.format_exception(type(error), error, trace)), MAX_TRACEBACK),
        signature(type(error).__qualname__, *_places(trace, code_root), *getattr(error, "marks", ())),
    )


def from_words(fault: Fault, detail: str, *marks: str) -> Failed:
    """A fault without an exception; `marks` tell it from others in its signature."""
    return Failed(fault, _cut(detail, MAX_DETAIL), "", signature(fault, *marks))


def _class_of(error: BaseException) -> tuple[Fault, str]:
    """The class of what was raised, and what speaks for it beside its own words."""
    if out_of_memory(error):
        return Fault.OUT_OF_MEMORY, _device_memory()[1]
    if isinstance(error, RuntimeError) and any(words in str(error) for words in _SICK):
        return Fault.INFRASTRUCTURE, "sick device"
    if isinstance(error, RuntimeError) and any(words in str(error) for words in _GPU_WORDS):
        free, told = _device_memory()
        if free < _FULL:
            return Fault.OUT_OF_MEMORY, f"{told}: for memory, whatever it says"
    return Fault.USER_BUG, ""


def _device_memory() -> tuple[float, str]:
    """The share of the GPU's memory that is free while the trial still holds its own, as the driver tells, and in
    words; all of it, and "", where no GPU is in use. Loads nothing.
    """
    torch = sys.modules.get("torch")
    try:
        if torch is None or not torch.cuda.is_initialized():
            return 1.0, ""
        free, total = torch.cuda.mem_get_info()
        held = torch.cuda.memory_reserved()
    except Exception:  # a device that is gone cannot be asked
        return 1.0, ""
    gib = 2**30
    told = f"{free / gib:.1f} of the device's {total / gib:.1f} GiB were free, the trial held {held / gib:.1f}"
    return free / total, told


def out_of_memory(error: BaseException) -> bool:
    """Whether this, or what it was raised from, says that memory ran out: Python's, torch's or CUDA's way."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno == errno.ENOMEM:
            return True
        names = {each.__name__ for each in type(cause).__mro__}
        if names & {"MemoryError", "OutOfMemoryError"}:
            return True
        if isinstance(cause, RuntimeError) and any(words in str(cause) for words in _NO_MEMORY):
            return True
        cause = cause.__cause__
    return False


def signature(*parts: str) -> str:
    """A short stable hash of what tells one failure from another."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _in_one_line(error: BaseException) -> str:
    """The type and the message; a SyntaxError's excerpt, which is indented, stays in the traceback."""
    lines = traceback.format_exception_only(error)
    return " ".join(next((line for line in lines if not line.startswith(" ")), lines[-1]).split())


def _users(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame that is neither ours nor the import machinery's."""
    while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def _is_ours(filename: str) -> bool:
    return filename.startswith((_HERE, "<frozen ")) or filename.endswith(
        (f"{os.sep}importlib{os.sep}__init__.py", f"{os.sep}runpy.py")
    )


def _places(trace: TracebackType | None, code_root: str) -> list[str]:
    """The last frames in the user's files (else the last of all), with paths relative to the code root."""
    frames = traceback.extract_tb(trace)
    root = code_root.rstrip(os.sep) + os.sep
    own = [each for each in frames if each.filename.startswith(root)] or list(frames)
    return [f"{each.filename.removeprefix(root)}:{each.name}:{each.lineno}" for each in own[-_LAST_FRAMES:]]


def _cut(text: str, limit: int) -> str:
    """At most `limit` characters: the beginning and, mostly, the end, where an exception says what it is."""
    text = text.encode(errors="replace").decode()
    if len(text) <= limit:
        return text
    head = limit // 4
    return f"{text[:head]}\n… {len(text) - limit:,} characters left out …\n{text[head - limit :]}"
