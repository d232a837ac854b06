"""A model is sent as a copy that is gone afterwards, and only so many at once."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from celeriac.domain.errors import Busy
from celeriac.web.api import models


def sent_whole(answer: Any) -> bytes:
    """All that a client reads."""
    told: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        told.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()  # it stays until it has all

    asyncio.run(answer({"type": "http", "method": "GET", "headers": []}, receive, send))
    return b"".join(each.get("body", b"") for each in told)


def test_models_are_sent_one_after_the_other_where_there_is_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_PLACES", threading.Semaphore(1))
    copies: list[Path] = []

    def copy(path: Path) -> None:
        copies.append(path)
        path.write_bytes(b"weights" * 100_000)

    first = models.sent(copy, "digits.model")
    with pytest.raises(Busy, match="ask again in a moment"):
        models.sent(copy, "digits.model")
    assert sent_whole(first) == b"weights" * 100_000
    with pytest.raises(OSError, match="full"):
        models.sent(lambda _: fail(), "digits.model")
    assert len(sent_whole(models.sent(copy, "digits.model"))) == 700_000
    assert len(copies) == 2
    assert not any(each.parent.exists() for each in copies)


def fail() -> None:
    raise OSError("the disk is full")
