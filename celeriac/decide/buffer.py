"""How far ahead of its fleet does a study work: how many tickets, how many suggestions, and when are suggestions
stale?

A ticket is bound: whatever is learned after it, its trial runs as it is. A waiting suggestion is not: the newest may
be replaced. So few tickets lie ahead of long trials, and suggestions enough for all slots to end at once; of trials
that end faster than a program may be started again there are tickets for all slots, and suggestions behind them.
"""

from dataclasses import dataclass
from math import ceil

from celeriac.decide.pack import packs_of
from celeriac.decide.share import AHEAD_S, Share, Slots, share
from celeriac.domain.records import Claim, Resources, Snapshot, Source, StudyRecord, TrialRecord, TrialState

#: The results have changed the model much when there are so many more of them, as a share of those that a suggestion
#: knew.
GROWTH = 0.1
#: Samplers that look at no result: what they suggest is never stale.
FIXED = frozenset({"random", "sobol", "grid"})
#: Replacing takes at most this share of one core.
SHARE = 0.1
#: More trials than slots.
_MANY = 1_000_000


@dataclass(frozen=True, slots=True)
class Sampling:
    """What is known of how a study's suggestions are made: seconds for one, and whether results matter to them at
    all.
    """

    suggest_s: float = 0.05
    learns: bool = True


def learns(sampler: str) -> bool:
    """Whether a sampler of that name suggests otherwise when there are more results."""
    return sampler not in FIXED


@dataclass(frozen=True, slots=True)
class Depth:
    """`now`: tickets that free slots could take at once; `tickets` and `waiting`: how many there are to be QUEUED and
    WAITING.
    """

    now: int
    tickets: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Stale:
    """The newest trials, which wait and are to be suggested anew; none: `numbers` is empty and `reason` ""."""

    numbers: tuple[int, ...] = ()
    reason: str = ""


def lone(study: StudyRecord, slots: int, pack: int = 0) -> Share:
    """The share of a study that has so many slots to itself."""
    claim = Claim.of(study, trials=_MANY, resources=Resources(), age_s=0.0, pack=pack)
    return share(study.id, [claim.in_packs()], Slots(cpu=slots))


def depth(study: StudyRecord, slots: int, part: Share, pack: int = 0) -> Depth:
    """How deep the study's buffer is to be, with so many live slots that may run it, of which `part` is its share.

    Where trials come in packs a ticket, and a part of the fleet, is a pack's; what waits is counted in trials.
    """
    size, counts, most = max(pack, 1), study.counts, study.parallel or 1
    running = packs_of(counts.running, size)
    if not slots and not part.is_placed:  # the first trials are ready when the first slots come
        tickets = max(min(packs_of(most, size), 2) - running, 0)
        return Depth(max(tickets - counts.queued, 0), tickets, max(most, size))
    # Nobody says when a slot takes a ticket, so those ahead are sent while slots are free still.
    tickets = min(counts.queued + part.now + part.ahead, max(part.most - min(running, slots), 0))
    mine = min(part.slots, slots)
    buffered = max(mine - running, 0) + _buffered(study, mine, size)
    return Depth(part.now, tickets, max(buffered * size - tickets, 0))


def _buffered(study: StudyRecord, capacity: int, size: int) -> int:
    """How many tickets and suggestions, together, are to lie behind so many busy slots; of packs, packs."""
    mean_s = _mean_s(study)
    mean_s = None if mean_s is None else mean_s * size
    if mean_s is None:  # nothing has ended yet
        return 1 + max(capacity - 1, 1)
    return max(capacity, ceil(2 * capacity * min(AHEAD_S / mean_s, 1.0))) if mean_s else 2 * capacity


def most_replaced(study: StudyRecord, slots: int, sampling: Sampling) -> int:
    """How many of the newest waiting suggestions `stale` needs to see; 0: none of them could be made anew now."""
    mean_s = _mean_s(study)
    if not sampling.learns or not slots or mean_s is None:
        return 0
    affordable_s = _between_ends_s(study, slots, mean_s) / 2
    if sampling.suggest_s > affordable_s:
        return 0
    # One more than can be afforded (two, for rounding) shows that there are too many.
    return min(int(affordable_s / max(sampling.suggest_s, 1e-6)) + 2, study.counts.waiting)


def stale(snapshot: Snapshot, slots: int, sampling: Sampling) -> Stale:
    """The waiting suggestions that are to be made anew: all of the snapshot's `tail` that may give way, or none.

    They are when the first of them does not know the best trial, or a tenth of the results; and when it pays: an
    answer usually comes before the next trial ends, and all of it together costs at most a tenth of a core.
    """
    study, tail = snapshot.study, _replaceable(snapshot)
    mean_s = _mean_s(study)
    if not tail or not sampling.learns or not slots or mean_s is None:
        return Stale()
    first = tail[0]
    known = first.provenance.observed or 0
    news = study.counts.ended - known
    between_ends_s = _between_ends_s(study, slots, mean_s)
    cost_s = len(tail) * sampling.suggest_s
    if cost_s > between_ends_s / 2 or cost_s > SHARE * news * between_ends_s:
        return Stale()
    numbers = tuple(trial.number for trial in tail)
    if first.provenance.best != study.best_number:
        return Stale(numbers, f"trial {first.number} was suggested before the best, trial {study.best_number}, ended")
    if news >= max(GROWTH * known, 1):
        return Stale(
            numbers, f"trial {first.number} was suggested on {known} results, now there are {study.counts.ended}"
        )
    return Stale()


def _replaceable(snapshot: Snapshot) -> list[TrialRecord]:
    """The newest trials, as far back as they are suggestions that learned and that nobody has had; by number."""
    found: list[TrialRecord] = []
    for trial in reversed(snapshot.tail):
        if trial.number != snapshot.study.next_number - 1 - len(found) or not _may_give_way(trial):
            break
        found.append(trial)
    return found[::-1]


def _between_ends_s(study: StudyRecord, slots: int, mean_s: float) -> float:
    """Seconds from one trial's end to the next one's, on average."""
    return mean_s / min(slots, study.parallel or slots)


def _may_give_way(trial: TrialRecord) -> bool:
    is_untried = trial.state is TrialState.WAITING and not trial.attempts
    return is_untried and trial.source is Source.SUGGESTED and not trial.provenance.is_designed


def _mean_s(study: StudyRecord) -> float | None:
    """Seconds of a finished trial, on average, whatever it held; None while none is finished."""
    finished = study.counts.finished
    return study.ran_s / finished if finished else None
