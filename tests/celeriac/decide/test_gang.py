"""When a gang begins, by whose fault its round is over, and when it may grow."""

from dataclasses import replace
from typing import Any

import pytest

from celeriac.decide.gang import (
    GROW_AFTER_S,
    LEASE_S,
    MORE_AGAIN_S,
    MORE_S,
    NOT_MET,
    PATIENCE_S,
    SETTLED_S,
    blame,
    gather,
    incomplete,
    is_second_hand,
    lost,
    may_grow,
)
from celeriac.domain.records import Fault, Member, Round, RunningGang

CLOSED = "[../third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:4823"


def member(rank: int | None = None, **more: Any) -> Member:
    given: dict[str, Any] = {"silent_s": 0.5, "lapsed": False, "ended": False, **more}
    return Member(rank, f"cpu0.s{rank or 0}@h", **given)


def waiting(count: int, waited_s: float = 0.0, *others: Member) -> Round:
    return Round(None, 0, True, waited_s, "", (*(member() for _ in range(count)), *others))


def playing(*others: Member, world: int = 3) -> Round:
    found = {each.rank: each for each in others}
    return Round(0, world, True, 0.0, "", tuple(found.get(rank, member(rank)) for rank in range(world)))


def test_it_begins_when_all_are_there_or_the_least_after_a_wait() -> None:
    assert gather(waiting(4), 2, 4).begin
    assert not gather(waiting(3), 2, 4).begin
    late = gather(waiting(3, MORE_S), 2, 4)
    assert (late.begin, late.reason) == (True, "3 of at most 4 slots came in 5 s")
    assert not gather(waiting(1, MORE_S), 2, 4).begin


def test_after_a_loss_those_that_are_left_wait_less_for_more() -> None:
    assert gather(waiting(3, MORE_AGAIN_S), 2, 4, again=True).begin
    assert not gather(waiting(3, MORE_AGAIN_S), 2, 4).begin
    assert not gather(waiting(1, MORE_AGAIN_S), 2, 4, again=True).begin


def test_too_few_are_given_up_after_a_while_with_the_reason() -> None:
    assert not gather(waiting(2, PATIENCE_S - 1), 3, 3).give_up
    given_up = gather(waiting(2, PATIENCE_S), 3, 3)
    assert given_up.give_up
    assert given_up.reason == "its gang was not complete: 2 of at least 3 slots came in 30 s"


@pytest.mark.parametrize("away", [{"ended": True}, {"lapsed": True}, {"leaving": "drained"}])
def test_who_is_away_does_not_count(away: dict[str, Any]) -> None:
    assert not gather(waiting(2, 0.0, member(**away)), 3, 3).begin


def test_a_member_is_lost_when_it_ended_by_a_fault_or_was_silent_while_the_store_answered() -> None:
    assert lost(playing(), LEASE_S) is None
    killed = member(2, ended=True, fault=Fault.INFRASTRUCTURE, detail="killed by SIGKILL from outside")
    assert lost(playing(killed), 0.0) == killed
    done = member(1, ended=True)
    assert lost(playing(done), LEASE_S) is None
    silent = member(1, lapsed=True, silent_s=11.0)
    assert lost(playing(silent), LEASE_S) == silent
    assert lost(playing(silent), LEASE_S - 1) is None, "the store was away: nobody could renew"


def test_a_round_that_somebody_left_as_it_began_is_incomplete() -> None:
    assert not incomplete(playing())
    assert incomplete(Round(0, 3, True, 0.0, "", (member(0), member(1), member(None, leaving="x"))))


def test_a_failure_is_not_judged_before_the_fate_of_all_is_known() -> None:
    fresh = blame(playing(), Fault.USER_BUG, CLOSED, since_s=0.5, answering_s=60)
    assert not fresh.settled
    unheard = member(2, silent_s=8.0)
    assert not blame(playing(unheard), Fault.USER_BUG, CLOSED, since_s=8.0, answering_s=60).settled
    heard = blame(playing(), Fault.USER_BUG, CLOSED, since_s=SETTLED_S + 1, answering_s=60)
    assert (heard.settled, heard.member, heard.fault) == (True, None, Fault.USER_BUG)


@pytest.mark.parametrize("fault", [Fault.INFRASTRUCTURE, Fault.PREEMPTED])
def test_a_lost_member_is_why_the_others_failed(fault: Fault) -> None:
    gone = member(1, ended=True, fault=fault, detail="killed by SIGKILL from outside")
    found = blame(playing(gone), Fault.USER_BUG, CLOSED, since_s=0.1, answering_s=60)
    assert (found.settled, found.member, found.fault) == (True, gone, fault)
    assert found.reason == "rank 1 on cpu0.s1@h: killed by SIGKILL from outside"


def test_a_silent_host_is_infrastructure() -> None:
    silent = member(2, lapsed=True, silent_s=12.0)
    found = blame(playing(silent), Fault.USER_BUG, CLOSED, since_s=12.0, answering_s=60)
    assert (found.settled, found.fault, found.reason) == (
        True,
        Fault.INFRASTRUCTURE,
        "rank 2 on cpu0.s2@h: not heard of for 12 s",
    )


def test_the_script_that_failed_itself_is_blamed_and_not_the_one_it_left_alone() -> None:
    bug = member(2, ended=True, fault=Fault.USER_BUG, detail="ValueError: no such layer")
    found = blame(playing(bug), Fault.USER_BUG, CLOSED, since_s=5.0, answering_s=60)
    assert (found.member, found.fault) == (bug, Fault.USER_BUG)
    second_hand = replace(bug, detail=CLOSED)
    own = blame(playing(second_hand), Fault.USER_BUG, "ValueError: no such layer", since_s=5.0, answering_s=60)
    assert (own.settled, own.member) == (True, None)


def test_a_member_out_of_memory_comes_first() -> None:
    short = member(1, ended=True, fault=Fault.OUT_OF_MEMORY, detail="CUDA out of memory")
    found = blame(playing(short), Fault.USER_BUG, "ValueError: x", since_s=5.0, answering_s=60)
    assert (found.member, found.fault) == (short, Fault.OUT_OF_MEMORY)


@pytest.mark.parametrize("fault", [Fault.OUT_OF_MEMORY, Fault.USER_BUG])
def test_who_failed_before_the_others_had_met_is_blamed_and_not_who_waited(fault: Fault) -> None:
    waited = member(1, ended=True, fault=Fault.INFRASTRUCTURE, detail=f"rank 1 of 3 {NOT_MET}: {CLOSED}")
    failed = member(2, ended=True, fault=fault, detail="no such file")
    found = blame(playing(waited, failed), None, "", since_s=5.0, answering_s=60)
    assert (found.settled, found.member, found.fault) == (True, failed, fault)


def test_where_no_script_failed_by_itself_it_is_infrastructure() -> None:
    waited = member(1, ended=True, fault=Fault.INFRASTRUCTURE, detail=f"rank 1 of 3 {NOT_MET}: {CLOSED}")
    found = blame(playing(waited), Fault.USER_BUG, CLOSED, since_s=SETTLED_S + 1, answering_s=60)
    assert (found.settled, found.member, found.fault) == (True, waited, Fault.INFRASTRUCTURE)


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        (CLOSED, True),
        ("NCCL error in: ProcessGroupNCCL.cpp:1970, remote process exited", True),
        ("Socket Timeout", True),
        ("ValueError: no such layer", False),
        ("KeyError: 'lr'", False),
    ],
)
def test_an_error_of_a_broken_connection_is_told_apart(detail: str, expected: bool) -> None:
    assert is_second_hand(detail) is expected


def running(study_id: int, world: int, *, age_s: float = 60.0, growing: bool = False) -> RunningGang:
    return RunningGang(study_id, 0, 1, world, age_s, growing)


def test_a_round_grows_into_free_slots_the_oldest_first() -> None:
    old, young = running(1, 2, age_s=90), running(2, 1)
    most = {1: 3, 2: 4}
    assert [each.gang for each in may_grow([young, old], most, 1)] == [old]
    both = may_grow([young, old], most, 2)
    assert [each.gang for each in both] == [old, young]
    assert both[1].reason == "1 more slots are free for its 1"
    assert may_grow([old, young], most, 0) == []


def test_a_round_that_is_young_full_or_asked_already_is_left_alone() -> None:
    assert may_grow([running(1, 2, age_s=GROW_AFTER_S - 1)], {1: 4}, 4) == []
    assert may_grow([running(1, 4)], {1: 4}, 4) == []
    assert may_grow([running(1, 2, growing=True)], {1: 4}, 2) == []
    # What it was asked to make room for is not free for others.
    assert may_grow([running(1, 2, growing=True, age_s=90), running(2, 1)], {1: 4, 2: 2}, 2) == []


def test_a_complete_gang_that_may_not_begin_does_not_hold_its_slots_for_ever() -> None:
    late = gather(waiting(3, PATIENCE_S), 3, 3)
    assert (late.begin, late.give_up) == (True, True)
    assert late.reason == "its gang was complete, but as many trials run as `parallel` allows"
