"""Gangs in memory. Rule: a member's token opens its own row, and rank 0's the attempt's too."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from celeriac.domain.lifecycle import TRIAL_TRANSITIONS, TrialEvent, sources
from celeriac.domain.records import (
    Fault,
    GangPlace,
    Lease,
    Member,
    Peer,
    Place,
    Refusal,
    Resources,
    Round,
    RunningGang,
    Seat,
    StudyState,
    TrialRecord,
    TrialState,
)
from celeriac.store.refusals import TicketFound, membership_lost, not_joined
from celeriac.store.sanitize import new_token, plain_text
from tests.memory_store.leases import Leases
from tests.memory_store.leases import Place as AttemptPlace
from tests.memory_store.rows import HeldMember, atomic


class Gangs(Leases):
    """Verbs of members, and of the coordinator that looks after them."""

    @atomic
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
        study, trial = self._rows.study(study_id), self._rows.trial(study_id, number)
        asked = Resources.read(study.spec.get("resources"))
        gang = (study_id, number, attempt)
        if self._may_come(gang, device, asked):
            token, on_gpu = new_token(""), device_kind not in ("", "cpu")
            peer = Peer(-1, host, device if on_gpu else "", address, port, device_kind)
            member = Member(None, worker, 0.0, False, False, device_kind=device_kind)
            now, until = self._rows.clock(), self._until(lease_s)
            self._rows.members[token] = HeldMember(*gang, member, peer, device, device_kind, now, lease_s, until)
            return Seat.of(token, study.name, asked, trial.placed)
        if trial.state is TrialState.QUEUED and trial.attempts == attempt - 1 and not self._has_room(study_id):
            self._rows.move_trial(trial, TrialEvent.UNQUEUE, queued_at=None)
        running = study.counts.running
        found = TicketFound(study.name, study.state, running, number, trial.state, trial.attempts, attempt)
        return not_joined(found)

    @atomic
    def gang_beat(self, token: str, lease_s: float, *, leaving: str = "") -> Round:
        mine = self._member(token)
        mine.lease_s, mine.lease_until = lease_s, self._until(lease_s)
        if leaving:
            mine.member = replace(mine.member, leaving=plain_text(leaving))
        held = self._rows.attempts.get(token)
        if held is not None and held.is_open:
            held.lease_s = lease_s
            held.attempt = replace(held.attempt, lease_until=self._until(lease_s))
        all_of_it = self._of(mine.gang)
        first = min([mine.joined_at, *(each.joined_at for each in self._alive(mine.gang))])
        begun = mine.member.rank is not None
        return Round(
            mine.member.rank,
            sum(each.member.rank is not None for each in all_of_it) if begun else 0,
            self._goes_on(mine.gang) if begun else self._may_begin(mine.gang, mine.device, also_full=True),
            (self._rows.clock() - first).total_seconds(),
            next((each.grow for each in all_of_it if each.member.rank == 0), ""),
            tuple(self._seen(each, mine) for each in all_of_it),
            held.attempt.preempt_reason if held is not None and held.is_open else "",
        )

    @atomic
    def close_round(self, token: str, least: int, most: int) -> bool:
        mine = self._rows.members.get(token)
        if (
            mine is None
            or mine.member.ended
            or mine.member.rank is not None
            or not self._may_begin(mine.gang, mine.device)
        ):
            return False
        study, trial = self._rows.study(mine.study_id), self._rows.trial(mine.study_id, mine.trial)
        came = [each for each in self._alive(mine.gang) if not each.member.leaving and _is_placed(trial, each.device)]
        came = sorted(came, key=lambda each: each.joined_at)[:most]
        if len(came) < least:
            return False
        for rank, each in enumerate(sorted(came, key=lambda each: (each.peer.host, each.joined_at))):
            each.member, each.peer = replace(each.member, rank=rank), replace(each.peer, rank=rank)
        lead_token, lead = next((t, m) for t, m in self._rows.members.items() if m in came and m.member.rank == 0)
        devices = tuple(each.device for each in sorted(came, key=lambda each: each.peer.rank))
        placed = None if trial.placed is None else replace(trial.placed, devices=devices)
        self._rows.trials[study.id, trial.number] = trial = replace(trial, detail="", placed=placed)
        place = AttemptPlace(lead.member.worker, lead.peer.device, lead.device_kind)
        self._leased(study, trial, place, lead.lease_s, token=lead_token)
        held = self._rows.attempts[lead_token]
        share = placed.share or 1.0 if placed else 1.0
        held.attempt = replace(held.attempt, width=len(came) * share)
        return True

    @atomic
    def gang_lease(self, token: str) -> Lease:
        mine = self._member(token)
        study, trial = self._rows.study(mine.study_id), self._rows.trial(mine.study_id, mine.trial)
        if mine.member.rank is None:
            raise membership_lost(token, None)
        peers = (each.peer for each in self._of(mine.gang) if each.member.rank is not None)
        place = Place(mine.member.rank, tuple(sorted(peers, key=lambda each: each.rank)))
        return replace(self._lease_of(study, trial, token, mine.attempt, mine.lease_until), place=place)

    @atomic
    def end_membership(
        self, token: str, *, fault: Fault | None = None, detail: str = "", traceback: str = "", signature: str = ""
    ) -> None:
        mine = self._rows.members.get(token)
        if mine is not None and not mine.member.ended:
            mine.member = replace(
                mine.member,
                ended=True,
                fault=fault,
                detail=plain_text(detail),
                traceback=plain_text(traceback),
                signature=plain_text(signature),
            )

    @atomic
    def give_up_gang(self, token: str, reason: str, wait_s: float) -> bool:
        mine = self._rows.members.get(token)
        if mine is None or mine.member.ended or mine.member.rank is not None:
            return False
        trial = self._rows.trial(mine.study_id, mine.trial)
        if trial.attempts == mine.attempt - 1 and trial.state is TrialState.QUEUED:
            later = self._rows.clock() + timedelta(seconds=wait_s)
            said = {"detail": plain_text(reason), "not_before": later}
            self._rows.move_trial(trial, TrialEvent.UNQUEUE, queued_at=None, **said)
        for each in self._of(mine.gang):
            if not each.member.ended and each.member.rank is None:
                each.member = replace(each.member, ended=True, detail=plain_text(reason))
        return True

    @atomic
    def give_back_members(self, worker: str, detail: str) -> list[tuple[int, str, int, int]]:
        found = [each for each in self._rows.members.values() if each.member.worker == worker and not each.member.ended]
        for each in found:
            each.member = replace(each.member, ended=True, fault=Fault.INFRASTRUCTURE, detail=plain_text(detail))
        return [(each.study_id, self._rows.study(each.study_id).name, each.trial, each.attempt) for each in found]

    @atomic
    def running_gangs(self) -> list[RunningGang]:
        now, found = self._rows.clock(), []
        for token, each in self._rows.members.items():
            held = self._rows.attempts.get(token)
            if held is not None and held.is_open and not each.member.ended:
                world = sum(other.member.rank is not None for other in self._of(each.gang))
                age_s = (now - held.attempt.leased_at).total_seconds()
                found.append(RunningGang(*each.gang, world, age_s, bool(each.grow)))
        return sorted(found, key=lambda each: (each.study_id, each.number))

    @atomic
    def ask_to_grow(self, study_id: int, number: int, attempt: int, reason: str) -> None:
        for each in self._of((study_id, number, attempt)):
            if each.member.rank == 0 and not each.member.ended:
                each.grow = plain_text(reason)

    @atomic
    def forget_members(self, older_than_s: float) -> int:
        before = self._rows.clock() - timedelta(seconds=older_than_s)
        old = [
            each
            for each in self._rows.members.values()
            if not each.member.ended and each.lease_until < before and not self._goes_on(each.gang)
        ]
        for each in old:
            each.member = replace(each.member, ended=True, detail="not heard of again")
        return len(old)

    @atomic
    def gang_members(self, study_id: int, number: int, attempt: int) -> Sequence[Member]:
        return [self._seen(each, None) for each in self._of((study_id, number, attempt))]

    @atomic
    def gang_places(self, study_id: int, numbers: Sequence[int]) -> list[GangPlace]:
        found = []
        for number in sorted(set(numbers)):
            trial = self._rows.trial(study_id, number)
            if trial.state is TrialState.RUNNING:
                shown = [each for each in self._of((study_id, number, trial.attempts)) if each.member.rank is not None]
            else:
                shown = [
                    each for each in self._alive((study_id, number, trial.attempts + 1)) if each.member.rank is None
                ]
            for each in shown:
                member, peer = self._seen(each, None), each.peer
                place = (member.rank, member.worker, peer.host, peer.device, member.silent_s)
                found.append(GangPlace(number, each.attempt, *place))
        return found

    # -- what they share -------------------------------------------------------------------------------------------
    def _member(self, token: str) -> HeldMember:
        mine = self._rows.members.get(token)
        if mine is None or mine.member.ended:
            held = self._rows.attempts.get(token)
            raise membership_lost(token, held.attempt if held else None)
        return mine

    def _of(self, gang: tuple[int, int, int]) -> list[HeldMember]:
        found = [each for each in self._rows.members.values() if each.gang == gang]
        last = len(found)
        return sorted(found, key=lambda each: (last if each.member.rank is None else each.member.rank, each.joined_at))

    def _alive(self, gang: tuple[int, int, int]) -> Iterator[HeldMember]:
        now = self._rows.clock()
        return (each for each in self._of(gang) if not each.member.ended and each.lease_until > now)

    def _has_room(self, study_id: int) -> bool:
        study = self._rows.study(study_id)
        has_room = study.parallel is None or study.counts.running < study.parallel
        return has_room and study.state is StudyState.RUNNING

    def _may_come(self, gang: tuple[int, int, int], device: str, asked: Resources) -> bool:
        """Whether a slot of that device may become a member now."""
        if not self._may_begin(gang, device):
            return False
        placed, came = self._rows.trial(*gang[:2]).placed, list(self._alive(gang))
        if placed is None:
            return len(came) < asked.members
        here = sum(each.device == device for each in came)
        return here < placed.devices.count(device) and self._device_has_room(placed, device)

    def _may_begin(self, gang: tuple[int, int, int], device: str, *, also_full: bool = False) -> bool:
        study_id, number, attempt = gang
        trial = self._rows.trial(study_id, number)
        if (trial.placed is not None and trial.state is not TrialState.QUEUED) or not _is_placed(trial, device):
            return False
        runs = self._rows.study(study_id).state is StudyState.RUNNING if also_full else self._has_room(study_id)
        return runs and trial.attempts == attempt - 1 and trial.state in sources(TRIAL_TRANSITIONS, TrialEvent.LEASE)

    def _goes_on(self, gang: tuple[int, int, int]) -> bool:
        held = self._rows.open_attempt(*gang[:2])
        return held is not None and held.attempt.number == gang[2]

    def _seen(self, each: HeldMember, by: HeldMember | None) -> Member:
        now: datetime = self._rows.clock()
        silent_s = max((now - each.lease_until).total_seconds() + each.lease_s, 0.0)
        return replace(each.member, silent_s=silent_s, lapsed=each is not by and each.lease_until < now)


def _is_placed(trial: TrialRecord, device: str) -> bool:
    """Whether the trial may run on this device: one that was placed only where it is placed now."""
    return trial.placed is None or device in trial.placed.devices
