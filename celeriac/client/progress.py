"""How far is a study, how long will it take, and why does nothing happen? Pure: records in, values and words out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from celeriac.decide.sampler import SamplerDecision, chosen_sampler
from celeriac.domain.errors import SpecInvalid
from celeriac.domain.records import CLOSED, Device, GangPlace, StudyRecord, StudyState, TrialRecord
from celeriac.domain.sampler_names import AUTO
from celeriac.domain.study_file import parse

PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at a study: its row, its running trials, the devices whose nodes spoke lately, and where the members of
    its gangs are. `no_place`: why no device has room for its next trial, where one is chosen for it and nothing runs.
    """

    study: StudyRecord
    running: tuple[TrialRecord, ...]
    devices: tuple[Device, ...]
    now: datetime
    gangs: tuple[GangPlace, ...] = ()
    no_place: str = ""

    def members(self, number: int) -> list[GangPlace]:
        """Where the members of a trial's gang are; none where it runs alone."""
        return [each for each in self.gangs if each.trial == number]

    @property
    def sampler(self) -> SamplerDecision:
        """Which sampler suggests its trials now, and why that one."""
        try:
            return chosen_sampler(parse(self.study.spec, self.study.name), self.study)
        except SpecInvalid:  # another version's; its coordinator says so in the study's reason
            return SamplerDecision(str(self.study.spec.get("sampler", AUTO)), "the study file says so")

    @property
    def slots(self) -> tuple[str, ...]:
        """The live slots that may run this study's trials."""
        return tuple(slot for each in self.devices if each.is_gpu or not self.study.gpus for slot in each.slots)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the study started, or was opened again, until its end or now; 0 before its start."""
        began = self.study.reopened_at or self.study.started_at
        return max(((self.study.ended_at or self.now) - began).total_seconds(), 0.0) if began else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds until the end if trials go on as they went so far; None while that cannot be told.

        The mean time of a finished trial, times those to come, over the trials that run at once; at most
        what the wall budget leaves.
        """
        study, counts = self.study, self.study.counts
        if study.state is not StudyState.RUNNING:
            return None
        lanes = max(counts.running, min(counts.queued, len(self.slots)))
        left = None
        if counts.finished and lanes:
            left = (study.budget - counts.finished) * study.ran_s / counts.finished / lanes
        if self.wall_s is None:
            return left
        wall_left = max(self.wall_s - study.worked_s(self.now), 0.0)
        return wall_left if left is None else min(left, wall_left)

    @property
    def wall_s(self) -> float | None:
        """The study's wall budget; None without one."""
        wall = self.study.spec["budget"].get("wall")
        return None if wall is None else float(wall)


def line_of(progress: Progress) -> str:
    """One line for a log: it changes when a trial ends, the best changes, or the study waits for something else."""
    study, counts = progress.study, progress.study.counts
    parts = [f"{study.name} {study.state}: {counts.finished}/{study.budget} finished"]
    parts += [f"{count} {word}" for word, count in (("pruned", counts.pruned), ("failed", counts.failed)) if count]
    if study.best_number is not None:
        parts.append(f"best {study.metric} {study.best_score:.6g} (trial {study.best_number})")
    waiting = why_waiting(progress)
    # What slots do between two trials is no news to a log.
    if waiting and (is_settled(study) or not progress.slots or not study.started_at or progress.no_place):
        parts.append(waiting)
    return ", ".join(parts)


def why_waiting(progress: Progress) -> str:
    """Why no trial of an open study runs right now, and what would help; "" when one runs, or all is over."""
    study, counts = progress.study, progress.study.counts
    if study.state in CLOSED or counts.running:
        return ""
    if study.state is StudyState.PAUSED:
        return f"paused: {study.reason}"
    if study.state is StudyState.OPEN:
        waited = progress.now - study.created_at > timedelta(seconds=PATIENCE_S)
        return "the coordinator has not taken it yet" + (": is one running? ask `celeriac doctor`" if waited else "")
    if not progress.slots:
        return _no_slot(progress)
    if counts.queued:
        return f"{counts.queued} queued for {len(progress.slots)} slots, which are busy or about to take them"
    if progress.no_place:
        return f"{progress.no_place} (`celeriac why {study.name}` says what each device lacks)"
    return "the coordinator is making suggestions"


def _no_slot(progress: Progress) -> str:
    if progress.study.gpus and progress.devices:
        return (
            "no worker with a GPU is alive: start one on a GPU host (`python -m worker`), "
            "or write `resources: {gpus: 0}` in a study of another name"
        )
    kind = "worker with a GPU" if progress.study.gpus else "worker"
    return f"no {kind} is alive: start one (`python -m worker`, or `celeriac up` for a stack of its own)"


def gain(study: StudyRecord, best: TrialRecord | None, first: TrialRecord | None) -> float | None:
    """By how much the best trial's score beats trial 0's, never negative; None when one of them has none."""
    if best is None or first is None or best.score is None or first.score is None:
        return None
    return best.score - first.score if study.goal == "maximize" else first.score - best.score


def is_settled(study: StudyRecord) -> bool:
    """Whether nothing more happens by itself: closed, or paused until a person resumes it."""
    return study.state in CLOSED or study.state is StudyState.PAUSED


def newest_failure(trials: Sequence[TrialRecord]) -> TrialRecord | None:
    """Of some trials, the one that failed last."""
    failed = [trial for trial in trials if trial.fault is not None and trial.ended_at is not None]
    return max(failed, key=lambda trial: trial.ended_no or 0, default=None)
