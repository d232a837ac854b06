"""Sends a model: copied out of the artefact root, compared with its hash, and deleted here once it was sent."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.background import BackgroundTask
from starlette.responses import FileResponse

_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
#: What a route that sends one says of its answer.
A_FILE: dict[int | str, dict[str, Any]] = {200: {"description": "The file.", "content": _BYTES}}


def sent(copy: Callable[[Path], object], name: str) -> FileResponse:
    """The file that `copy` writes, under a name that a browser saves it by."""
    directory = tempfile.TemporaryDirectory(prefix="celeriac-model-")
    try:
        path = Path(directory.name, "model")
        copy(path)
    except BaseException:
        directory.cleanup()
        raise
    done = BackgroundTask(directory.cleanup)
    return FileResponse(path, media_type="application/octet-stream", filename=name, background=done)
