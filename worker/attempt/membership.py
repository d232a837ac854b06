"""A slot's membership of a gang: the place where the others find it, its token, and what it knows of the round.

The lease's keeper renews it, and each renewal brings the others' state along; the runner is woken by each.
"""

import socket
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from celeriac.decide import gang
from celeriac.domain.errors import LeaseLost
from celeriac.domain.records import Member, Round
from celeriac.store import Store
from worker.attempt.wakeup import Wakeup

#: A store that was not heard for so long was away.
GAP_S = 5 * gang.BEAT_S


@dataclass(slots=True)
class Membership:
    """See above. `round`: as the last beat found it. `leaving`: why this slot wants the trial handed back, or ""."""

    store: Store
    wakeup: Wakeup
    token: str
    round: Round | None = None
    leaving: str = ""
    _heard_at: float = 0.0
    _answers_since: float = field(default_factory=time.monotonic)

    def beat(self) -> Round:
        """Renew, and see. Raises LeaseLost when the round is over or the gang is given up, TryAgain."""
        found = self.store.gang_beat(self.token, gang.LEASE_S, leaving=self.leaving)
        if not found.is_open:  # or did the round begin while Postgres answered, which then saw half of it?
            found = self.store.gang_beat(self.token, gang.LEASE_S, leaving=self.leaving)
        now = time.monotonic()
        if now - self._heard_at > GAP_S:
            self._answers_since = now
        self._heard_at = now
        self.round = found
        if not found.is_open:
            if found.rank == 0:
                self.store.renew(self.token, gang.LEASE_S)  # it says who ended the attempt, and why
            raise LeaseLost(f"the gang of {self.token[:8]}… is over: stop, write nothing", reason="its gang is over")
        self.wakeup.set()
        return found

    def renew(self) -> str:
        """For the lease's keeper: a beat, and why the trial is asked back."""
        return self.beat().asked_back

    @property
    def answering_s(self) -> float:
        """For how long the store has answered without a gap."""
        return time.monotonic() - self._answers_since if self._heard_at else 0.0

    @property
    def lost(self) -> Member | None:
        """The member by whose loss the round is over."""
        return None if self.round is None else gang.lost(self.round, self.answering_s)

    @property
    def is_over(self) -> bool:
        """Whether the round cannot go on, as rank 0 sees it."""
        return self.round is not None and (self.lost is not None or gang.incomplete(self.round))

    @property
    def hand_back(self) -> str:
        """Why a member wants the trial handed back, or ""."""
        members = self.round.members if self.round is not None else ()
        return next((each.leaving for each in members if each.leaving and not each.ended), "")

    @property
    def grow(self) -> str:
        """Why the round is to end at its next checkpoint, so that more slots can join; or ""."""
        return self.round.grow if self.round is not None else ""


@dataclass(slots=True)
class Address:
    """Where other members reach this slot, should it be rank 0: the port is kept free for it, and not listened on."""

    host: str
    kept: socket.socket

    @property
    def port(self) -> int:
        """The port that nobody else is given."""
        return int(self.kept.getsockname()[1])

    def close(self) -> None:
        """Keep it no more."""
        self.kept.close()


def address_of(configured: str, database_url: str) -> Address:
    """The host's address: as configured, or that by which it reaches the database; and a port of its own.

    The port is bound, so that the kernel gives it to nobody else, and not listened on, so that the trial's process can
    be the one that listens: both ask to share it (SO_REUSEADDR).
    """
    host = configured or _towards(database_url)
    kept = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("", 0))
    return Address(host, kept)


def _towards(database_url: str) -> str:
    """The address from which packets to the database would go; no packet is sent."""
    url = urlsplit(database_url)
    if not url.hostname:  # a socket of this host
        return "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((url.hostname, url.port or 5432))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
