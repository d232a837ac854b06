"""Sends a model: copied out of the artefact root, compared with its hash, and deleted here once it was sent."""

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from celeriac.domain.errors import Busy

_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
#: What a route that sends one says of its answer.
A_FILE: dict[int | str, dict[str, Any]] = {200: {"description": "The file.", "content": _BYTES}}
#: So many are sent at once: each is a copy in the temporary directory, which under compose is memory.
_MOST = 4
_PLACES = threading.Semaphore(_MOST)


class _Sent(FileResponse):
    """A file that is over once it was sent, or could not be."""

    over: Callable[[], object]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await run_in_threadpool(self.over)


def sent(copy: Callable[[Path], object], name: str) -> FileResponse:
    """The file that `copy` writes, under a name that a browser saves it by. Raises Busy where others are sent."""
    if not _PLACES.acquire(blocking=False):
        raise Busy(f"{_MOST} models are being sent already: ask again in a moment")
    directory = tempfile.TemporaryDirectory(prefix="celeriac-model-")

    def over() -> None:
        directory.cleanup()
        _PLACES.release()

    try:
        path = Path(directory.name, "model")
        copy(path)
        answer = _Sent(path, media_type="application/octet-stream", filename=name)
    except BaseException:
        over()
        raise
    answer.over = over
    return answer
