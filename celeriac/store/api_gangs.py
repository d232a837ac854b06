"""The store's contract for gangs: a part of `celeriac.store.api.Store`, whose rules hold here too.

Slots come to a gang with a token each (`join_gang`), one statement begins the round (`close_round`), and each member's
token opens its own row only. Rank 0's token is the attempt's lease as well: who holds it reports and finishes. A round
ends when its attempt does; members learn of it at their next `gang_beat`.
"""

from collections.abc import Sequence
from typing import Protocol

from celeriac.domain.records import Fault, GangPlace, Lease, Member, Refusal, Round, RunningGang, Seat


class GangStore(Protocol):
    """What gangs need of the store."""

    def join_gang(
        self,
        study_id: int,
        number: int,
        attempt: int,
        *,
        worker: str,
        host: str,
        device: str,
        device_kind: str,
        address: str,
        port: int,
        lease_s: float,
    ) -> Seat | Refusal:
        """Come to the gang of the trial's next attempt. Refused when the ticket is stale, the study may not run
        another trial, or as many are there as may be. `address` and `port`: where the others find it as rank 0.
        """

    def gang_beat(self, token: str, lease_s: float, *, leaving: str = "") -> Round:
        """Prolong a membership, and with rank 0's the attempt's lease; say once why it wants to leave; see the others.
        Raises LeaseLost when it has ended.
        """

    def close_round(self, token: str, least: int, most: int) -> bool:
        """Begin the round with those that are there: the trial is RUNNING, its world is fixed, and rank 0's membership
        is the attempt's lease. False: there are fewer than `least`, or it was begun or given up meanwhile.
        """

    def gang_lease(self, token: str) -> Lease:
        """What a member of a round needs to run its part. Raises LeaseLost before the round, and after it."""

    def end_membership(
        self, token: str, *, fault: Fault | None = None, detail: str = "", traceback: str = "", signature: str = ""
    ) -> None:
        """Be a member no more; `fault`: if a fault of its own is why. None when it was none any more."""

    def give_up_gang(self, token: str, reason: str, wait_s: float) -> bool:
        """A gang that is not complete: its members go, and its trial waits in the buffer, `wait_s` at least, with this
        reason. False: its round has begun, or it was given up already.
        """

    def give_back_members(self, worker: str, detail: str) -> list[tuple[int, str, int, int]]:
        """A worker has died: it is a member of nothing any more, as a fault of infrastructure. Only for tokens that a
        store of the same key made. Returns (study id, study, trial, attempt).
        """

    def running_gangs(self) -> list[RunningGang]:
        """The rounds that go on."""

    def ask_to_grow(self, study_id: int, number: int, attempt: int, reason: str) -> None:
        """Have the round of that attempt end at its next checkpoint, so that more slots can join. None if it is
        over.
        """

    def forget_members(self, older_than_s: float) -> int:
        """End the memberships of rounds that are over, if they were not heard of for so long; how many."""

    def gang_members(self, study_id: int, number: int, attempt: int) -> Sequence[Member]:
        """Who came to the gang of that attempt, by rank."""

    def gang_places(self, study_id: int, numbers: Sequence[int]) -> list[GangPlace]:
        """Where the members of these trials' gangs are, by trial and rank: of rounds that go on, and of gangs that
        gather.
        """
