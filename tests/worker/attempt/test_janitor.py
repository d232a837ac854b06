"""Work that nobody waits for: in its order, failing alone, and said where it does not come back."""

import threading
from collections.abc import Iterator

import pytest

from worker.attempt.janitor import Janitor


@pytest.fixture
def janitor() -> Iterator[Janitor]:
    janitor = Janitor("test", most_waiting=3, hangs_s=0.05)
    yield janitor
    janitor.close()


def test_a_chore_that_fails_does_not_end_the_thread(janitor: Janitor, caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()

    def fails() -> None:
        raise RuntimeError("a chore's own bug")

    janitor.put("the first", fails)
    janitor.put("the second", done.set)
    assert done.wait(5)
    assert janitor.settle(5)
    assert "the first failed and is left undone" in caplog.messages


def test_closing_does_what_is_left_in_its_order() -> None:
    janitor, done = Janitor("test"), list[int]()
    for number in range(20):
        janitor.put("a number", lambda number=number: done.append(number))  # type: ignore[misc]
    janitor.close()
    janitor.close()
    assert done == list(range(20))


def test_what_hangs_is_said_and_holds_up_nobody_who_puts_more(
    janitor: Janitor, caplog: pytest.LogCaptureFixture
) -> None:
    go_on, began, done = threading.Event(), threading.Event(), list[int]()

    def hangs() -> None:
        began.set()
        assert go_on.wait(30)

    janitor.put("deleting a", hangs)
    assert began.wait(5)
    assert not janitor.settle(0.1)
    for number in range(5):
        janitor.put(f"deleting {number}", lambda number=number: done.append(number))  # type: ignore[misc]
    assert any("deleting a has not come back for" in line for line in caplog.messages)
    assert "deleting 4 is left undone: 3 others wait already (test)" in caplog.messages
    go_on.set()
    assert janitor.settle(5)
    assert done == [0, 1, 2]


def test_what_stands_aside_is_done_later_in_its_order_and_at_once_when_it_closes() -> None:
    janitor, done = Janitor("test"), list[str]()
    janitor.put("a message", lambda: done.append("message"), in_s=0.2)
    janitor.put("another", lambda: done.append("another"))
    assert not janitor.settle(0.05)
    assert done == []
    assert janitor.settle(5)
    assert done == ["message", "another"]
    janitor.put("the last", lambda: done.append("last"), in_s=60.0)
    janitor.close()
    assert done == ["message", "another", "last"]
