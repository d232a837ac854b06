"""Records as JSON that the command prints and the API sends. Rule: keys are stable: one may be added, none is renamed
or dropped within a major version. docs/reference/cli.md and docs/reference/api.md list them.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from celeriac.report.plain import plain

if TYPE_CHECKING:
    from celeriac.domain.records import (
        Attempt,
        Device,
        GangPlace,
        PutAside,
        Savings,
        Schedule,
        StudyRecord,
        TrialRecord,
    )
    from celeriac.report.busy import Busy
    from celeriac.report.explain.why import Explanation


def study_form(study: "StudyRecord") -> dict[str, Any]:
    """A study: its row, without what only the coordinator needs, with budget and counts spelled out."""
    form: dict[str, Any] = plain(study)
    for private in ("turn", "next_number", "best_number", "best_score"):
        del form[private]
    best = None if study.best_number is None else {"trial": study.best_number, "score": study.best_score}
    return {**form, "metric": study.metric, "budget": study.budget, "finished": study.counts.finished, "best": best}


def brief_form(study: "StudyRecord") -> dict[str, Any]:
    """A study in a list: without its spec."""
    return {key: value for key, value in study_form(study).items() if key != "spec"}


def goes_on_form(study: "StudyRecord", *, took_code: bool) -> dict[str, Any]:
    """A study that was let go on, and whether it runs other code from now on."""
    return {**study_form(study), "took_code": took_code}


def form_of_all(
    studies: "Sequence[StudyRecord]", devices: "Sequence[Device]", schedules: "Sequence[Schedule]", busy: "Busy | None"
) -> dict[str, Any]:
    """All that is there: what `status` shows without a name."""
    used = None if busy is None else busy_form(busy)
    return {"studies": [study_form(each) for each in studies], "devices": devices, "schedules": schedules, "busy": used}


def progress_form(progress: Any, waiting: str, saved: "Savings") -> dict[str, Any]:
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
        form["runs"] = [attempt_form(each) for each in attempts]
        form["members"] = [plain(each) for each in members]
    return form


def attempt_form(attempt: "Attempt") -> dict[str, Any]:
    """An attempt's row without its lease's token."""
    return {key: value for key, value in plain(attempt).items() if key != "token"}


def device_form(
    device: "Device",
    runs: Mapping[str, Sequence[Any]],
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


def limits_form(limits: Any) -> dict[str, Any]:
    """What a study's time is limited by, and what is taken of it."""
    budgets = [{"name": each.name, "hours": each.hours, "spent_s": each.spent_s} for each in limits.budgets]
    return {"device_budgets": budgets, "deadline_at": limits.deadline_at, "announced": limits.announced}


def why_form(
    study: "StudyRecord", trial: "TrialRecord", explanation: "Explanation", again: dict[str, Any] | None
) -> dict[str, Any]:
    """The explanation as JSON: `why` as stored, what it means, and what a replay gave (null: none was asked for)."""
    return {
        "study": study.name,
        **{key: getattr(trial, key) for key in ("number", "state", "source", "params", "score", "why")},
        "how": explanation.how,
        "pending": explanation.pending,
        "expected": explanation.provenance.expected,
        "outcome": explanation.outcome,
        "replay": None if again is None else {"params": again, "same": again == dict(trial.params)},
    }


def place_form(place: Any) -> dict[str, Any] | None:
    """Why its next trial has no place, as JSON: null where its devices are not chosen."""
    if place is None:
        return None
    return {
        "reason": place.reason,
        "devices": [{"host": host, "device": device, "lacks": lacks} for host, device, lacks in place.devices],
        "barred": [{"number": number, "reason": reason} for number, reason in place.barred],
    }
