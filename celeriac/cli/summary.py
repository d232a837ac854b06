"""What a study came to, in words: the winner and how to use it again, or what went wrong and the next step."""

from typing import Any

from celeriac.cli import text
from celeriac.cli.exit_codes import FAILED, OK
from celeriac.cli.hints import command
from celeriac.cli.hosts import told_of_code
from celeriac.cli.live import best_of
from celeriac.cli.rungs import saved_in_words
from celeriac.cli.screen import STYLE_OF, Grid, say, show
from celeriac.client.lineage import Part
from celeriac.client.progress import gain
from celeriac.client.service import Service
from celeriac.client.study import yaml_of
from celeriac.domain.errors import UnknownTrial
from celeriac.domain.records import Source, StudyRecord, StudyState, TrialRecord, TrialState

_TRACEBACK_LINES = 12


def tell(client: Service, study: StudyRecord) -> int:
    """Print how the study ended, or why it is paused; the exit code that says the same."""
    took = text.between(study.started_at, study.ended_at)
    say(
        f"{study.name} is {study.state}: {study.reason}" + ("" if took == "-" else f" (took {took})"),
        STYLE_OF.get(study.state, ""),
    )
    if study.counts.pruned:
        say(saved_in_words(study, client.study_of(study).savings()))
    best = best_of(client, study)
    good = study.state is StudyState.DONE and best is not None
    if not good or study.counts.failed:
        tell_failure(client, study, brief=good)
    if best is not None:
        tell_winner(client, study, best)
    if study.state is StudyState.PAUSED:
        say(
            f"\nThen go on:  {command('resume', study.name)}    (or `celeriac run` with the same file)\n"
            f"Or end it:   {command('stop', study.name)}"
        )
    return OK if good else FAILED


def _part(part: Part) -> tuple[str, ...]:
    last = "-" if part.last is None else str(part.last)
    return f"{part.first} to {last}", str(part.trial), text.assigned(part.params)


def tell_winner(client: Service, study: StudyRecord, best: TrialRecord) -> None:
    """Print the best trial: score, gain over trial 0, parameters to paste, and how to use it again."""
    metric = study.metric
    for line in told_of_code(client, study):
        say(line, "yellow")
    say(f"\nBest: trial {best.number} of {study.counts.finished}, {metric} {text.number(best.score)}", "bold")
    first = first_of(client, study)
    if first is not None:
        say(comparison(study, best, first))
        if first.state is TrialState.SCORED and best.number != first.number:
            show(compared(metric, best, first))
    course = client.study_of(study).lineage(best.number)
    if len(course) > 1:
        say("\nIts training, an heir's, went on from other trials' checkpoints; each part with its parameters:")
        show(Grid(("steps", "trial", "parameters"), [_part(each) for each in course], frozenset({"trial"})))
    say("\n" + yaml_of(best.params).rstrip())
    say(
        f"\nUse it again:  {command('best', study.name, '--yaml')} > best.yaml\n"
        f'        Python:  Client().study("{study.name}").best.params\n'
        f"   Look closer:  {command('trials', study.name)}    {command('logs', study.name, best.number)}"
    )


def first_of(client: Service, study: StudyRecord) -> TrialRecord | None:
    """Trial 0, if there is one."""
    try:
        return client.study_of(study).trial(0)
    except UnknownTrial:
        return None


def comparison(study: StudyRecord, best: TrialRecord, first: TrialRecord) -> str:
    """One sentence on best trial and trial 0, whichever way it went."""
    name = "the default" if first.source is Source.DEFAULT else "the first suggestion"
    if best.number == first.number:
        alone = study.counts.scored == 1 and study.counts.pruned
        return _only_score(study, name) if alone else f"Nothing beat {name}, trial 0: it is the best itself."
    gained = gain(study, best, first)
    if gained is None:
        return f"Trial 0, {name}, is {first.state}: there is nothing to compare with."
    if gained == 0:
        return f"It is as good as {name}, trial 0, and no better."
    return f"Better than {name}, trial 0 ({text.number(first.score)}), by {gained:.4g}."


def _only_score(study: StudyRecord, name: str) -> str:
    told = f"Only {name}, trial 0, has a score: a trial that was stopped early has none"
    if (study.spec.get("stop_early") or {}).get("rule") == "patience":
        return f"{told}, unless the script returns it (`except celeriac.trial.TrialStopped: return best`)."
    return f"{told}."


def compared(metric: str, best: TrialRecord, first: TrialRecord) -> Grid:
    """Score and metrics of trial 0 and of the best trial, side by side."""
    rows = [(metric, text.number(first.score), text.number(best.score), _difference(first.score, best.score))]
    for name, value in best.metrics.items():
        other = first.metrics.get(name)
        rows.append((name, text.value_text(other, 6), text.value_text(value, 6), _difference(other, value)))
    head = ("", "trial 0", f"trial {best.number}", "difference")
    return Grid(head, rows, frozenset(head[1:]))


def _difference(before: Any, after: Any) -> str:
    numbers = all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (before, after))
    return f"{after - before:+.4g}" if numbers else "-"


def tell_failure(client: Service, study: StudyRecord, *, brief: bool) -> None:
    """Print what failed: one line (`brief`), or the newest failure with its traceback's end."""
    if study.counts.failed:
        every = (
            "" if study.counts.failed == 1 else f" (`{command('trials', study.name, '--state', 'FAILED')}` lists them)"
        )
        say(f"{study.counts.failed} of {text.counted(study.counts.finished, 'trial')} failed{every}.", "yellow")
    handle = client.study_of(study)
    failed = None if brief else handle.last_failure()
    if failed is None:
        return
    attempts = handle.attempts_of([failed.number])[failed.number]
    say(f"\nTrial {failed.number} failed: {failed.fault}: {failed.detail}", "red")
    say(f"  with {text.assigned(failed.params)}")
    traceback = attempts[-1].traceback.rstrip().splitlines() if attempts else []
    for line in traceback[-_TRACEBACK_LINES:]:
        say(f"  | {line}")
    say(f"Next:  {command('logs', study.name, failed.number)}    shows all that it printed")
