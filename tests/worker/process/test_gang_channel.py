"""What rank 0 is told at a report, the other ranks hear at the same step; and a round makes room at a checkpoint."""

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import torch.distributed as dist

from celeriac.trial import PREEMPT, STOP
from worker.process.channel import SocketChannel
from worker.process.frames import Inbox, encode
from worker.process.gang_channel import FollowChannel, LeadChannel
from worker.process.objective import Unusable
from worker.process.rendezvous import Words


class Ends:
    """A trial's end of the socket and the runner's."""

    def __init__(self) -> None:
        self.ours, self.runner = socket.socketpair()
        self.link = SocketChannel(self.ours)
        self.runner.settimeout(0.2)

    def order(self, word: str) -> None:
        self.runner.sendall(encode({"kind": "control", "word": word}))

    def heard(self) -> list[dict[str, Any]]:
        try:
            return list(Inbox().feed(self.runner.recv(65_536)))
        except TimeoutError:
            return []


@pytest.fixture
def ends() -> Iterator[Callable[[], Ends]]:
    made: list[Ends] = []

    def make() -> Ends:
        made.append(Ends())
        return made[-1]

    yield make
    for each in made:
        each.ours.close()
        each.runner.close()


@pytest.fixture
def words() -> Words:
    store = dist.HashStore()
    store.set_timeout(timedelta(seconds=5))
    return Words(store)


def report(step: int, **more: Any) -> dict[str, Any]:
    return {"kind": "report", "step": step, "value": 0.5, "metrics": {}, **more}


def test_all_ranks_stop_at_the_same_step(words: Words, ends: Callable[[], Ends]) -> None:
    lead, follow = ends(), ends()
    first, second = LeadChannel(lead.link, words), FollowChannel(follow.link, words)
    first.send(report(0))
    second.send(report(0))
    lead.order("stop")
    assert (first.poll(), second.poll()) == (None, None), "a word counts from the report at which all hear it"
    first.send(report(1))
    second.send(report(1))
    assert (first.poll(), second.poll()) == (STOP, STOP)
    assert len(lead.heard()) == 2
    assert follow.heard() == [], "another rank's report goes nowhere"


def test_another_rank_waits_for_rank_0(words: Words, ends: Callable[[], Ends]) -> None:
    second = FollowChannel(ends().link, words)
    waits = threading.Thread(target=second.send, args=(report(0),))
    waits.start()
    waits.join(0.1)
    assert waits.is_alive()
    LeadChannel(ends().link, words).send(report(0))
    waits.join(10)
    assert not waits.is_alive()


def test_a_step_that_rank_0_passed_over_holds_nobody_up(words: Words, ends: Callable[[], Ends]) -> None:
    LeadChannel(ends().link, words).send(report(5))
    second = FollowChannel(ends().link, words)
    second.send(report(3))
    assert second.poll() is None


def test_a_round_makes_room_at_its_next_checkpoint_and_not_before(words: Words, ends: Callable[[], Ends]) -> None:
    lead = ends()
    first = LeadChannel(lead.link, words)
    lead.order("regroup")
    first.send(report(0))
    assert first.poll() is None
    first.send(report(1, checkpoint={"path": "1/0/x"}))
    assert first.poll() == PREEMPT
    second = FollowChannel(ends().link, words)
    second.send(report(1))
    assert second.poll() == PREEMPT


def test_with_a_group_of_its_own_rank_0_hears_at_once(ends: Callable[[], Ends]) -> None:
    lead = ends()
    first = LeadChannel(lead.link, None)
    lead.order("stop")
    assert first.poll() == STOP
    second = FollowChannel(ends().link, None)
    second.send(report(0))
    assert second.poll() is None


def test_ranks_that_resume_at_different_steps_do_not_begin(words: Words) -> None:
    words.agree(0, 4)
    words.agree(1, 4)
    with pytest.raises(Unusable, match="rank 2 resumes at step 3, rank 0 at 4"):
        words.agree(2, 3)
