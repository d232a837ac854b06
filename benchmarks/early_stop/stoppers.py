"""The stoppers: ours, through the functions that the worker decides with, and the peers as they come.

All judge after 1, 3, 9, … epochs, counted from 1, with a third going on; `min` is the first rung, `max` the whole
training.
"""

from bisect import insort
from datetime import UTC, datetime
from types import SimpleNamespace

from benchmarks.early_stop.clock import Stopper
from celeriac.decide.stop_early import Progress, at_rung, followed, judged
from celeriac.domain.records import Crossing, Report, RungRecord, Source
from celeriac.domain.stop_rules import Asha, Hyperband, Median, StopRule

ETA = 3
_NEVER = datetime.min.replace(tzinfo=UTC)


class Nobody:
    """Stops nobody."""

    def stops(self, number: int, epoch: int, value: float) -> bool:
        return False


class Ours:
    """A rule of `celeriac.decide.stop_early`; the rungs are kept here as the store keeps them (`Store.report`)."""

    def __init__(self, rule: StopRule) -> None:
        self._rule = rule
        self._courses: dict[int, Progress] = {}
        self._rungs: dict[tuple[int, int], list[float]] = {}

    def stops(self, number: int, epoch: int, value: float) -> bool:
        who = judged(self._rule, "maximize", number, Source.SUGGESTED)
        step = followed(who, self._courses.get(number, Progress()), Report(epoch, value))
        self._courses[number] = step.course
        if step.crossing is not None:
            return at_rung(who, self._record(number, step.crossing)).stop
        return step.decision is not None and step.decision.stop

    def _record(self, number: int, crossing: Crossing) -> RungRecord:
        ranking = crossing.ranking
        there = self._rungs.setdefault((ranking.bracket, crossing.rung), [])
        insort(there, -crossing.value)
        return RungRecord(
            study_id=0,
            bracket=ranking.bracket,
            rung=crossing.rung,
            place=len(there),
            trial=number,
            attempt=1,
            step=crossing.step,
            resource=crossing.resource,
            value=crossing.value,
            cutoff=-there[ranking.kept(len(there)) - 1],
            at=_NEVER,
        )


class Optuna:
    """Optuna's SuccessiveHalvingPruner: the same idea in its stopping kind, asked after every report."""

    def __init__(self, least: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=least, reduction_factor=ETA)
        self._study = optuna.create_study(direction="maximize", pruner=pruner, sampler=optuna.samplers.RandomSampler(0))
        self._trials: dict[int, optuna.Trial] = {}
        self._pruned = optuna.trial.TrialState.PRUNED

    def stops(self, number: int, epoch: int, value: float) -> bool:
        if number not in self._trials:
            self._trials[number] = self._study.ask()
        trial = self._trials[number]
        trial.report(value, epoch)
        if not trial.should_prune():
            return False
        self._study.tell(trial, state=self._pruned)
        return True


class Ray:
    """Ray Tune's ASHAScheduler with one bracket, its default."""

    def __init__(self, least: int, most: int) -> None:
        from ray.tune.schedulers import ASHAScheduler

        self._scheduler = ASHAScheduler(
            time_attr="epoch", metric="value", mode="max", max_t=most, grace_period=least, reduction_factor=ETA
        )
        self._trials: dict[int, SimpleNamespace] = {}

    def stops(self, number: int, epoch: int, value: float) -> bool:
        if number not in self._trials:
            self._trials[number] = SimpleNamespace(trial_id=str(number))
            self._scheduler.on_trial_add(None, self._trials[number])
        report = {"epoch": epoch, "value": value}
        return str(self._scheduler.on_trial_result(None, self._trials[number], report)) == "STOP"


def stopper(name: str, epochs: int) -> Stopper:
    """By name: `none`, or a rule or peer, with the first rung behind a colon where it is not the default (`asha:1`)."""
    kind, _, given = name.partition(":")
    least = int(given) if given else epochs // ETA**2
    match kind:
        case "none":
            return Nobody()
        case "asha":
            return Ours(Asha(least, epochs, ETA))
        case "hyperband":
            return Ours(Hyperband(least, epochs, ETA))
        case "median":
            return Ours(Median(least))
        case "optuna":
            return Optuna(least)
        case "ray":
            return Ray(least, epochs)
    raise ValueError(f"no stopper is named {name!r}: none, asha, hyperband, median, optuna or ray")


#: What is compared: by default the first rung is max / eta², and once it is the first epoch.
NAMES = ("none", "asha", "asha:1", "hyperband", "median", "optuna", "optuna:1", "ray", "ray:1")
