"""Log lines: as text, or as JSON with the study, the trial and the attempt that they are about, by
`CELERIAC_LOG_FORMAT`.

What a line is about is set around the work (`about`): by context where several things are done at once, and for the
whole process in a slot, which runs one trial at a time on several threads.
"""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

TEXT, JSON = "text", "json"
FORMATS = (TEXT, JSON)
IDS = ("study", "trial", "attempt")

_NOTHING: Mapping[str, int] = MappingProxyType({})

_about: ContextVar[Mapping[str, int]] = ContextVar("_about", default=_NOTHING)
_of_process: dict[str, int] = {}


@contextmanager
def about(*, whole_process: bool = False, **ids: int) -> Iterator[None]:
    """Lines of the block are about this study, trial and attempt."""
    if whole_process:
        before = dict(_of_process)
        _of_process.update(ids)
        try:
            yield
        finally:
            _of_process.clear()
            _of_process.update(before)
        return
    token = _about.set({**_about.get(), **ids})
    try:
        yield
    finally:
        _about.reset(token)


def set_up(log_format: str, program: str, *, text: str, level: int = logging.INFO) -> None:
    """Log to stderr: `text` is the format of lines of text."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(program) if log_format == JSON else logging.Formatter(text))
    logging.basicConfig(level=level, handlers=[handler], force=True)


class JsonLines(logging.Formatter):
    """One JSON object a line: at, level, logger, program, text, study, trial, attempt (null: not about one), error."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        ids = {**_of_process, **_about.get()}
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "program": self._program,
            "text": record.getMessage(),
            **{name: ids.get(name) for name in IDS},
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
