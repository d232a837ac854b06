"""Records as JSON that the command prints and the API sends. Rule: keys are stable: one may be added, none is renamed
or dropped within a major version. docs/reference/cli.md and docs/reference/api.md list them.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from celeriac.report.plain import plain

if TYPE_CHECKING:
    from celeriac.client.progress import Progress
    from celeriac.domain.records import (
        Attempt,
        Device,
        GangPlace,
        OpenAttempt,
        PutAside,
        Savings,
        Schedule,
        StudyRecord,
        TrialRecord,
    )
    from celeriac.report.busy import Busy


def study_form(study: "StudyRecord") -> dict[str, Any]:
    """A study: its row, without what only the coordinator needs, with budget and counts spelled out."""
    form: dict[str, Any] = plain(study)
    for private in ("turn", "next_number", "best_number", "best_score"):
        del form[private]
    best = None if study.best_number is None else {"trial": study.best_number, "score": study.best_score}
    return {**form, "metric": study.metric, "budget": study.budget, "finished": study.counts.finished, "best": best}


def form_of_all(
    studies: "Sequence[StudyRecord]", devices: "Sequence[Device]", schedules: "Sequence[Schedule]", busy: "Busy | None"
) -> dict[str, Any]:
    """All that is there: what `status` shows without a name."""
    used = None if busy is None else busy_form(busy)
    return {"studies": [study_form(each) for each in studies], "devices": devices, "schedules": schedules, "busy": used}


def progress_form(progress: "Progress", waiting: str, saved: "Savings") -> dict[str, Any]:
    """A study with what runs now, why nothing does, when it may end, and what early stopping spared."""
    return {
        **study_form(progress.study),
        "running": progress.running,
        "slots": progress.slots,
        "waiting_because": waiting,
        "sampler": progress.sampler,
        "left_s": progress.left_s,
        "saved": saved,
    }


def trial_form(
    trial: "TrialRecord", attempts: "list[Attempt] | None" = None, members: "Sequence[GangPlace]" = ()
) -> dict[str, Any]:
    """A trial's row; its attempts too, where they were asked for, without their lease tokens, and where the members of
    its gang are.
    """
    form: dict[str, Any] = plain(trial)
    if attempts is not None:
        form["runs"] = [{key: value for key, value in plain(each).items() if key != "token"} for each in attempts]
        form["members"] = [plain(each) for each in members]
    return form


def device_form(
    device: "Device",
    runs: "Mapping[str, list[OpenAttempt]]",
    aside: "Sequence[PutAside]",
    busy: "Mapping[str, Busy]",
    *,
    alive: bool,
) -> dict[str, Any]:
    """A device's row, whether its node spoke lately, what each of its slots runs, and what they do not take now."""
    running = {
        slot: [{"study": run.study, "trial": run.number, "attempt": run.attempt} for run in runs[slot]]
        for slot in device.slots
    }
    put_aside = [plain(each) for each in aside if each.worker in device.slots]
    used = {slot: busy_form(busy[slot]) for slot in device.slots if slot in busy}
    return {**plain(device), "alive": alive, "running": running, "put_aside": put_aside, "busy": used}


def busy_form(busy: "Busy") -> dict[str, Any]:
    """How busy a slot was, or all of them: the share of the seconds that were looked at, and idle ones by reason."""
    return {"share": busy.share, "window_s": busy.window_s, "idle_s": {str(why): s for why, s in busy.idle_s.items()}}
