"""Sends a model: copied out of the artefact root, compared with its hash, and deleted here once it was sent."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.responses import FileResponse


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
