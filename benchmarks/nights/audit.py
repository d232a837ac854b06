"""What rows, artefact root and hooks must say after nights in which anything may have crashed: each function names what
is not as promised, one line each.
"""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from celeriac.decide.gate import recompute
from celeriac.decide.publication import place_of
from celeriac.domain.records import (
    CLOSED,
    WORKING,
    Champion,
    DeliveryKind,
    Firing,
    FiringState,
    Outcome,
    StudyRecord,
    VerdictKind,
)
from celeriac.store import Store

MANY = 1_000_000
OF_PROMOTION = (DeliveryKind.PUBLISH, DeliveryKind.HOOK)
_ODD = (*WORKING, FiringState.FAILED, FiringState.MISSED)


def wrong_firings(
    made: Sequence[Firing], studies: Sequence[StudyRecord], wanted: Collection[tuple[str, datetime]]
) -> list[str]:
    """Each wanted (slice's name, due time) has one firing, at its end, with at most one study a stage, all closed."""
    times = Counter((place_of("", each.slice), each.due_at) for each in made)
    stages = Counter((study.firing_id, study.stage) for study in studies)
    return [
        *(f"{key} was never fired" for key in wanted if key not in times),
        *(f"{key} was fired, and was not due" for key in times if key not in wanted),
        *(f"{key} was fired {count} times" for key, count in times.items() if count > 1),
        *(f"{each.name} is {each.state}: {each.reason}" for each in made if each.state in _ODD),
        *(f"firing {key} has {count} studies" for key, count in stages.items() if count > 1),
        *(f"{study.name} is {study.state}: {study.reason}" for study in studies if study.state not in CLOSED),
    ]


def wrong_deadlines(made: Sequence[Firing], deadline_s: float) -> list[str]:
    """Each firing that ended after its deadline was announced as late before that passed."""
    wrong = []
    for each in made:
        late_at = each.due_at + timedelta(seconds=deadline_s)
        announced_at = announced(each)
        if each.entered_at > late_at and (announced_at is None or announced_at >= late_at):
            told = "never announced" if announced_at is None else f"announced at {announced_at}"
            wrong.append(f"{each.name} ended at {each.entered_at}, its deadline was {late_at}, and that was {told}")
    return wrong


def announced(firing: Firing) -> datetime | None:
    """When it was announced that the firing's deadline will be missed; None where it was not."""
    return next((datetime.fromisoformat(step["at"]) for step in firing.steps if step.get("late")), None)


def wrong_promotions(made: Sequence[Firing], verdicts: Sequence[Champion]) -> list[str]:
    """Each firing that promoted has one verdict that says so, which its evidence gives again; champions are a line."""
    promoted = sorted((each for each in verdicts if each.promoted), key=lambda each: each.id)
    of_firing = Counter(each.firing_id for each in verdicts if each.kind is VerdictKind.NIGHT)
    promotions = Counter(each.firing_id for each in promoted)
    wrong = [f"firing {key} has {count} verdicts" for key, count in of_firing.items() if count > 1]
    for firing in made:
        if promotions[firing.id] != (firing.state is FiringState.PROMOTED):
            wrong.append(f"{firing.name} is {firing.state} and promoted {promotions[firing.id]} times")
        if firing.state is FiringState.KEPT and not of_firing[firing.id]:
            wrong.append(f"{firing.name} is KEPT without a verdict")
    before: dict[str, int] = {}
    for each in promoted:
        place = place_of(each.schedule, each.slice)
        if each.before_id != before.get(place):
            wrong.append(f"promotion {each.id} follows {each.before_id} instead of {before.get(place)}")
        if recompute(each.evidence["gate"]).verdict != "promote":
            wrong.append(f"promotion {each.id}: its evidence says something else")
        before[place] = each.id
    return wrong


def wrong_budget(store: Store, study: StudyRecord) -> list[str]:
    """As many trials finished as the budget says, each scored once; the counters are those of the rows."""
    counts, budget = study.counts, study.spec["budget"]["trials"]
    trials = store.trials(study.id, limit=10_000)
    attempts = store.attempts_of(study.id, [each.number for each in trials])
    scored = Counter(each.trial for found in attempts.values() for each in found if each.outcome is Outcome.SCORED)
    ran_s = sum(each.device_s for found in attempts.values() for each in found)
    return [
        f"{study.name}: {text}"
        for text, is_wrong in (
            (f"{counts.finished} of {budget} trials finished", counts.finished != budget),
            (f"{counts.open} trials are open", counts.open > 0),
            (f"{len(trials)} trials for a budget of {budget}", len(trials) - counts.cancelled != budget),
            ("a trial is scored twice", any(count > 1 for count in scored.values())),
            (f"{counts.scored} trials are counted as scored, {len(scored)} are", counts.scored != len(scored)),
            (f"{study.device_s} device-seconds, its attempts ran {ran_s}", abs(study.device_s - ran_s) > 0.01),
        )
        if is_wrong
    ]


def wrong_deliveries(store: Store, schedule: str, root: Path, told: Path, verdicts: Sequence[Champion]) -> list[str]:
    """Each promotion is published and its hook ran, told of that very version; `current` is the newest one.

    told: a directory with one file a run of the hook, `PROMOTION.PROCESS`, that holds what it was told.
    """
    promoted = {each.id: each for each in verdicts if each.promoted}
    done = Counter(each.promotion for each in store.deliveries(schedule, limit=MANY) if each.done_at)
    wrong = [f"promotion {each}: {done[each]} of 2 deliveries" for each in promoted if done[each] != len(OF_PROMOTION)]
    runs: Counter[int] = Counter()
    for path in told.iterdir():
        text, named = path.read_text(), int(path.name.split(".")[0])
        if not text.endswith("}"):
            continue  # killed before it had read what it was told; it does not count as a run
        said = json.loads(text)
        runs[named] += 1
        champion = promoted.get(named)
        if champion is None or (said["promotion"], said["params"], said["slice"]) != (
            named,
            champion.params,
            champion.slice,
        ):
            wrong.append(f"the hook of promotion {named} was told of {said['promotion']}, {said['params']}")
    wrong += [f"the hook of promotion {each} never ran" for each in promoted if not runs[each]]
    for champion in store.champions(schedule):
        current = root / place_of(schedule, champion.slice) / "current"
        record, params = (json.loads((current / name).read_text()) for name in ("record.json", "params.json"))
        if record["version"] != champion.id or params != champion.params:
            wrong.append(f"{current} is version {record['version']} instead of {champion.id}")
    return wrong
