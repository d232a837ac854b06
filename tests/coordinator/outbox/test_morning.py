"""Mornings go out: when a night is over, at least once, signed, by request or mail; what fails is tried again."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from typing import Any

import pytest

from celeriac.domain.hooks import Hook
from celeriac.domain.records import DeliveryKind, Lease
from celeriac.runtime.artefacts import Artefacts
from celeriac.runtime.artefacts.api import ArtefactsUnavailable
from celeriac.store.api import AttemptEnd
from coordinator.outbox.deliver import deliver
from coordinator.outbox.hook import post
from coordinator.outbox.local_addresses import is_local
from coordinator.outbox.outside import NotDelivered, Outside
from tests.coordinator.house import House
from tests.coordinator.nightlife import by_lr, failed, put_schedule, whole_night
from tests.coordinator.outbox.test_hook import receiver


def a_night(**morning: Any) -> House:
    house = House(slots=2)
    put_schedule(house, morning=morning)
    whole_night(house, by_lr(0.1))
    return house


def tell(house: House, *, smtp_url: str = "", mail_from: str = "", call_local: bool = True, **secrets: str) -> int:
    """Make the deliveries that are due, of mornings alone; how many came through."""

    def no_artefacts() -> Artefacts:
        raise ArtefactsUnavailable("there is no root here")

    outside = Outside(
        no_artefacts, lambda name: secrets.get(name, ""), smtp_url=smtp_url, mail_from=mail_from, call_local=call_local
    )
    return deliver(house.store, outside)


def detail(house: House) -> str:
    [morning] = [each for each in house.store.deliveries("flights") if each.kind is DeliveryKind.MORNING]
    return morning.detail


def test_a_night_that_is_over_is_posted_once_as_slack_takes_it() -> None:
    house = a_night(url_env="SLACK")
    with receiver((200, None)) as (url, asked):
        assert tell(house, SLACK=url) == 1
        assert tell(house, SLACK=url) == 0
    [(headers, body)] = asked
    told = json.loads(body)
    assert told["text"].startswith("flights, night 2026-11-24: 1 promoted")
    assert any("airport=JFK" in block["text"]["text"] for block in told["blocks"])
    assert headers["Idempotency-Key"] == "morning flights 2026-11-24"
    assert detail(house) == "$SLACK answered 200"  # the address is a secret


def test_json_is_signed_and_what_fails_is_tried_again_with_the_same_key() -> None:
    with receiver((500, None), (200, None)) as (url, asked):
        house = a_night(url=url, format="json", secret_env="SECRET")
        assert tell(house, SECRET="s3cret") == 0
        assert "answered 500: not today" in detail(house)
        assert tell(house, SECRET="s3cret") == 0  # not due yet
        house.wait(11)
        assert tell(house, SECRET="s3cret") == 1
    first, second = asked
    assert first[0]["Idempotency-Key"] == second[0]["Idempotency-Key"]
    assert second[0]["X-Celeriac-Signature"].startswith("sha256=")
    assert json.loads(second[1])["slices"][0]["state"] == "PROMOTED"


def test_an_address_of_this_host_is_not_called_unless_a_setting_or_its_keeper_says_so() -> None:
    with receiver((200, None)) as (url, asked):
        house = a_night(url=url)
        assert tell(house, call_local=False) == 0
        assert "CELERIAC_CALL_LOCAL=true" in detail(house)
        assert asked == []
        kept = a_night(url_env="SLACK")
        assert tell(kept, call_local=False, SLACK=url) == 1


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1%eth0", "0.0.0.0", "::"]
)
def test_local_addresses_are_known_in_all_their_spellings(address: str) -> None:
    assert is_local(address)
    assert not is_local("192.0.2.7")
    assert not is_local("2001:db8::7")


def test_a_name_that_turns_local_once_it_was_looked_at_gets_nothing() -> None:
    with receiver((200, None)) as (url, asked):
        with pytest.raises(NotDelivered, match="CELERIAC_CALL_LOCAL"):
            post(Hook(url=url), b"{}", "key", "", may_be_local=False)
        assert asked == []


def test_an_address_or_a_secret_that_is_not_there_is_named() -> None:
    house = a_night(url_env="SLACK")
    assert tell(house) == 0
    assert detail(house) == "SLACK is not set where the coordinator's clock runs"
    mailed = a_night(mail=["ann@example.com"])
    assert tell(mailed) == 0
    assert "CELERIAC_SMTP_URL" in detail(mailed)


class Mailbox(socketserver.StreamRequestHandler):
    """As much of SMTP as a mail needs."""

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            word = line.split()[0].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = iter(self.rfile.readline, b".\r\n")
                self.server.mails.append(b"".join(lines))  # type: ignore[attr-defined]
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
            if word == b"QUIT":
                return


@contextmanager
def mailbox() -> Iterator[tuple[str, list[bytes]]]:
    with socketserver.TCPServer(("127.0.0.1", 0), Mailbox) as server:
        server.mails = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"smtp://127.0.0.1:{server.server_address[1]}", server.mails  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


def test_a_mail_has_the_text_and_an_id_of_its_night() -> None:
    house = a_night(mail=["ann@example.com", "bo@example.com"])
    with mailbox() as (url, mails):
        assert tell(house, smtp_url=url, mail_from="nights@example.com") == 1
    [given] = mails
    mail = message_from_bytes(given, policy=policy.default)
    assert (mail["To"], mail["From"]) == ("ann@example.com, bo@example.com", "nights@example.com")
    assert mail["Subject"].startswith("flights, night 2026-11-24: 1 promoted")
    assert mail["Message-ID"].endswith("@celeriac>")
    body = mail.get_body()
    assert body is not None
    assert "airport=JFK: PROMOTED" in body.get_content()
    assert detail(house) == "mailed to ann@example.com, bo@example.com"


def test_a_night_with_a_slice_to_come_waits_for_it() -> None:
    house = a_night(url_env="SLACK")
    [due] = house.store.slice_dues("flights")
    house.store.advance_slice(due, due.next_due_at.replace(day=24, hour=20))
    assert tell(house, SLACK="http://127.0.0.1:9/") == 0
    assert detail(house) == "not all of its slices are over"


def test_a_slice_that_waits_for_a_person_does_not_keep_the_others_morning_back() -> None:
    house = House(slots=2)
    put_schedule(house, slices=({"airport": "JFK"}, {"airport": "LGA"}), morning={"url_env": "SLACK"})
    trained = by_lr(0.1)

    def lga_has_no_data(lease: Lease) -> AttemptEnd:
        is_lga = house.store.study(lease.study_id).slice == {"airport": "LGA"}
        return failed(detail="no data of LGA") if is_lga else trained(lease)

    whole_night(house, lga_has_no_data)
    with receiver((200, None)) as (url, asked):
        assert tell(house, SLACK=url) == 1
    told = asked[0][1].decode()
    assert "not over yet; 1 slice waits for a person" in told
    assert "no data of LGA" in told
    assert "celeriac resume flights/airport=LGA" in told
