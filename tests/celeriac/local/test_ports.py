"""Stacks that start together choose ports of their own, though their programs listen only seconds later."""

import socket

from celeriac.local.up import claimed_port


def test_a_port_that_another_stack_has_chosen_is_left_to_it() -> None:
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        wanted = somebody.getsockname()[1]
    first, claim = claimed_port(wanted)
    with claim:
        second, other = claimed_port(wanted)
        other.close()
    assert first == wanted
    assert second != wanted


def test_a_port_is_free_again_when_its_stack_has_ended() -> None:
    wanted, claim = claimed_port(0)
    claim.close()
    again, claim = claimed_port(wanted)
    claim.close()
    assert again == wanted


def test_a_port_where_somebody_listens_is_left_to_him() -> None:
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port, claim = claimed_port(somebody.getsockname()[1])
        claim.close()
        assert port != somebody.getsockname()[1]
