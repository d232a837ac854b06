"""Which budget does a study have from now on, and may a closed one go on as it is?"""

from celeriac.domain.errors import IllegalTransition
from celeriac.domain.records import StudyRecord
from celeriac.domain.study_file import Budget, parse

Amount = int | str


def extended(study: StudyRecord, trials: Amount | None, wall: str | float | None) -> Budget:
    """The study's budget with these in place of its own; `trials` as "+20" counts from what it has.

    Raises SpecInvalid for what a study file cannot hold either, IllegalTransition when nothing would change.
    """
    before = parse(study.spec, f"study {study.name}").budget
    form = {**study.spec["budget"], "trials": _total(before.trials, trials)}
    if wall is not None:
        form["wall"] = wall
    after = parse({**study.spec, "budget": form}, f"study {study.name}").budget
    if after == before:
        raise IllegalTransition(
            f"study {study.name} has a budget of {before.trials} trials already: say how many it shall have"
            " (`--trials`)"
        )
    return after


def _total(had: int, trials: Amount | None) -> Amount:
    """The whole number of trials, where that is what was said; what it is not, the study file's reader tells."""
    if trials is None:
        return had
    text = str(trials).strip()
    if not text.removeprefix("+").isdecimal():
        return trials
    return had + int(text) if text.startswith("+") else int(text)


def why_not_reopen(study: StudyRecord) -> str:
    """Why a closed study would be closed again at once; "" when it would go on."""
    budget = study.spec["budget"]
    trials, wall = budget["trials"], budget.get("wall")
    if wall is not None and study.ended_at is not None and study.worked_s(study.ended_at) >= wall:
        return f"study {study.name} has used its wall budget up: `celeriac extend {study.name} --wall 2h` gives it more"
    if study.counts.finished < trials:
        return ""
    return (
        f"study {study.name} has finished all its {trials} trials: `celeriac extend {study.name} --trials N` gives it"
        f" more, `celeriac retry {study.name}` runs the failed ones once more"
    )
