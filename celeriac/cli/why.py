"""`celeriac trials STUDY --why N`: one trial's explanation as a page, and as JSON; `--replay` asks the sampler again.

The sampler lives in the coordinator, which a door does not import: it is asked as a program, `python -m coordinator
replay`.
"""

from typing import Any

from celeriac.cli import text
from celeriac.cli.exit_codes import FAILED, OK
from celeriac.cli.hints import command
from celeriac.cli.json_output import print_json, why_form
from celeriac.cli.screen import STYLE_OF, say
from celeriac.client.coordinator import ask_coordinator
from celeriac.client.service import Service
from celeriac.client.study import Study
from celeriac.domain.errors import CallerError, UnknownTrial
from celeriac.domain.records import Source, StudyRecord, TrialRecord
from celeriac.report.explain.sentences import lines_of, sentences_of
from celeriac.report.explain.why import Explanation, explained


def tell_why(client: Service, study: Study, number: int, *, as_json: bool, replay: bool) -> int:
    """Print why trial `number` was run; the exit code is FAILED when a replay gives other parameters."""
    record, trial = study.record, study.trial(number)
    explanation = explained(trial, record.goal, study.pending_then(trial))
    again = replayed(client, study, trial) if replay else None
    same = again is None or again == dict(trial.params)
    if as_json:
        print_json(why_form(record, trial, explanation, again))
    else:
        _page(record, trial, explanation)
        if again is not None:
            _tell_replay(trial, again, same)
        elif explanation.provenance.is_replayable and not record.spec.get("learn_space") and not client.settings.url:
            say(f"\nCompute it again from the rows:  {command('trials', study.name, '--why', number, '--replay')}")
    return OK if same else FAILED


def replayed(client: Service, study: Study, trial: TrialRecord) -> dict[str, Any]:
    """What the sampler suggests for this trial when it knows what it knew then.

    Raises UnknownTrial when no sampler suggested it, CeleriacError when the coordinator is not installed here or fails.
    """
    if trial.source not in (Source.SUGGESTED, Source.PBT):
        raise UnknownTrial(f"trial {trial.number} of {study.name} is a {trial.source}: no sampler suggested it")
    if client.settings.url:
        raise CallerError(
            f"the replay of trial {trial.number} runs its sampler, which the API ({client.settings.url}) does not do:"
            " run it on the service's host, or leave `--replay` out: `--why` alone tells how it was found"
        )
    params: dict[str, Any] = ask_coordinator(
        client.settings,
        "replay",
        study.name,
        str(trial.number),
        what=f"the replay of trial {trial.number} of {study.name}",
    )
    return params


def _page(study: StudyRecord, trial: TrialRecord, explanation: Explanation) -> None:
    metric = study.metric
    score = "" if trial.score is None else f", {metric} {text.number(trial.score)}"
    say(f"trial {trial.number} of {study.name}: {trial.state}{score}", STYLE_OF.get(trial.state, "bold"))
    say(f"  {text.assigned(trial.params)}\n")
    say(sentences_of(trial, explanation))
    rows = lines_of(metric, trial, explanation)
    if rows:
        width = max(len(label) for label, _ in rows)
        say("\n" + "\n".join(f"  {label.ljust(width)}  {value}" for label, value in rows))


def _tell_replay(trial: TrialRecord, again: dict[str, Any], same: bool) -> None:
    if same:
        say("\nComputed again from the rows: the same parameters.", "green")
        return
    say("\nComputed again from the rows: NOT the same parameters.", "red")
    say(f"  stored  {text.assigned(trial.params, 17)}\n  again   {text.assigned(again, 17)}")
    say("A replay is exact with the version and on the kind of host that suggested it.")
