"""Which budget does a study have from now on, and may a closed one go on as it is?"""

from collections.abc import Sequence

from celeriac.decide.device_budget import DeviceBudget, used_up
from celeriac.domain.errors import IllegalTransition
from celeriac.domain.records import StudyRecord
from celeriac.domain.study_file import Budget, parse

Amount = int | str


def extended(
    study: StudyRecord, trials: Amount | None, wall: str | float | None, device_hours: str | float | None = None
) -> Budget:
    """The study's budget with these in place of its own; `trials` and `device_hours` as "+20" count from what it has.

    Raises SpecInvalid for what a study file cannot hold either, IllegalTransition when nothing would change.
    """
    before = parse(study.spec, f"study {study.name}").budget
    form = {**study.spec["budget"], "trials": _total(before.trials, trials)}
    if wall is not None:
        form["wall"] = wall
    if device_hours is not None:
        form["device_hours"] = _hours(before.device_hours or 0.0, device_hours)
    after = parse({**study.spec, "budget": form}, f"study {study.name}").budget
    if after == before:
        raise IllegalTransition(
            f"study {study.name} has a budget of {before.trials} trials already: say how much it shall have"
            " (`--trials`, `--wall`, `--device-hours`)"
        )
    return after


def _hours(had: float, hours: str | float) -> float | str:
    """The hours in all, where a number was said; what it is not, the study file's reader tells."""
    try:
        said = float(hours)
    except ValueError:
        return hours
    return had + said if str(hours).strip().startswith("+") else said


def _total(had: int, trials: Amount | None) -> Amount:
    """The whole number of trials, where that is what was said; what it is not, the study file's reader tells."""
    if trials is None:
        return had
    text = str(trials).strip()
    if not text.removeprefix("+").isdecimal():
        return trials
    return had + int(text) if text.startswith("+") else int(text)


def why_not_reopen(study: StudyRecord, budgets: Sequence[DeviceBudget] = ()) -> str:
    """Why a closed study would be closed again at once; "" when it would go on. `budgets`: those of device time."""
    budget = study.spec["budget"]
    trials, wall = budget["trials"], budget.get("wall")
    if wall is not None and study.ended_at is not None and study.worked_s(study.ended_at) >= wall:
        return f"study {study.name} has used its wall budget up: `celeriac extend {study.name} --wall 2h` gives it more"
    if spent := used_up(budgets):
        if budgets[0].left_s <= 0 and budgets[0].name == "device budget":
            helps = f"`celeriac extend {study.name} --device-hours +1` gives it more"
        else:
            helps = f"raise it in the schedule's file, then `celeriac schedule fire {study.schedule}` runs it once more"
        return f"study {study.name} cannot go on: {spent}; {helps}"
    if study.counts.finished < trials:
        return ""
    return (
        f"study {study.name} has finished all its {trials} trials: `celeriac extend {study.name} --trials N` gives it"
        f" more, `celeriac retry {study.name}` runs the failed ones once more"
    )
