"""`celeriac trials STUDY --why N`: one trial's explanation as a page, and as JSON; `--replay` asks the sampler again.

The sampler lives in the coordinator, which a door does not import: it is asked as a program, `python -m coordinator
replay`.
"""

from typing import Any

from celeriac.cli import text
from celeriac.cli.exit_codes import FAILED, OK
from celeriac.cli.hints import command
from celeriac.cli.json_output import print_json
from celeriac.cli.screen import STYLE_OF, say
from celeriac.client.asking import ask_coordinator
from celeriac.client.client import Client
from celeriac.client.study import Study
from celeriac.domain.errors import UnknownTrial
from celeriac.domain.provenance import Expectation
from celeriac.domain.records import Source, StudyRecord, TrialRecord
from celeriac.report.explain.why import Explanation, Outcome, explained

_MOST_PENDING = 12
#: What our model adds of its own, each a number of trials.
_COUNTED = {"fitted_on": "model fitted on", "kept": "model holds"}


def tell_why(client: Client, study: Study, number: int, *, as_json: bool, replay: bool) -> int:
    """Print why trial `number` was run; the exit code is FAILED when a replay gives other parameters."""
    record, trial = study.record, study.trial(number)
    explanation = explained(trial, record.goal, _pending(client, trial))
    again = replayed(client, study, trial) if replay else None
    same = again is None or again == dict(trial.params)
    if as_json:
        print_json(why_form(record, trial, explanation, again))
    else:
        _page(record, trial, explanation)
        if again is not None:
            _tell_replay(trial, again, same)
        elif explanation.provenance.is_replayable:
            say(f"\nCompute it again from the rows:  {command('trials', study.name, '--why', number, '--replay')}")
    return OK if same else FAILED


def _pending(client: Client, trial: TrialRecord) -> list[int]:
    """The numbers of the trials that were pending when this one was suggested."""
    then = trial.provenance.known_then(trial.number)
    if then is None:
        return []
    observed, below = then
    return [each.number for each in client.store.pending(trial.study_id, observed=observed, below=below)]


def why_form(
    study: StudyRecord, trial: TrialRecord, explanation: Explanation, again: dict[str, Any] | None
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


def replayed(client: Client, study: Study, trial: TrialRecord) -> dict[str, Any]:
    """What the sampler suggests for this trial when it knows what it knew then.

    Raises UnknownTrial when no sampler suggested it, CeleriacError when the coordinator is not installed here or fails.
    """
    if trial.source is not Source.SUGGESTED:
        raise UnknownTrial(f"trial {trial.number} of {study.name} is a {trial.source}: no sampler suggested it")
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
    say(_found(trial, explanation))
    found = explanation.provenance
    rows = _expected(metric, found.expected) if found.expected else []
    rows += [_own(key, value) for key, value in found.more.items()]
    if found.expected:
        rows.append(("it turned out", _turned_out(trial, explanation.outcome)))
    if rows:
        width = max(len(label) for label, _ in rows)
        say("\n" + "\n".join(f"  {label.ljust(width)}  {value}" for label, value in rows))


def _found(trial: TrialRecord, explanation: Explanation) -> str:
    """How it was found, and what was known: two sentences at most."""
    found = explanation.provenance
    if trial.source is not Source.SUGGESTED or found.sampler is None:
        return f"It is {explanation.how}."
    seed = "" if found.seed is None else f", seed {found.seed}"
    words = f"Suggested by the {found.sampler} sampler{seed}: {explanation.how}."
    if found.observed is None:
        return words
    known = text.counted(found.observed, "ended trial")
    words += f"\nIt knew {known}" if found.observed else "\nNo trial had ended yet"
    if pending := explanation.pending:
        named = ", ".join(map(str, pending[:_MOST_PENDING])) + (", …" if len(pending) > _MOST_PENDING else "")
        words += f", and {len(pending)} more still open ({named})"
    return words + "."


def _expected(metric: str, expected: Expectation) -> list[tuple[str, str]]:
    rows = []
    if expected.mean is not None:
        interval = ""
        if expected.low is not None and expected.high is not None:
            between = f"{text.number(expected.low)} and {text.number(expected.high)}"
            interval = f", nine in ten between {between} (the model's own word: it knows no bounds of {metric})"
        rows.append((f"expected {metric}", text.number(expected.mean) + interval))
    if expected.incumbent is not None:
        number = "" if expected.incumbent_number is None else f" (trial {expected.incumbent_number})"
        rows.append(("best then", text.number(expected.incumbent) + number))
    if expected.expected_gain is not None:
        rows.append(("expected gain", text.number(expected.expected_gain, 3)))
    if expected.feasible is not None:
        rows.append(("chance to fail", f"{1 - expected.feasible:.0%}"))
    return rows


def _own(key: str, value: Any) -> tuple[str, str]:
    """What only its sampler knows."""
    if key in _COUNTED:
        return _COUNTED[key], text.counted(value, "trial")
    return key.replace("_", " "), text.value_text(value, 6)


def _turned_out(trial: TrialRecord, outcome: Outcome | None) -> str:
    if trial.fault is not None:
        return f"failed: {trial.fault}: {text.one_line(trial.detail)}"
    if trial.score is None or outcome is None:
        last = "" if trial.last_value is None else f", last report {text.number(trial.last_value)}"
        return f"{trial.state}, no score{last}"
    parts = []
    if outcome.inside is not None:
        parts.append("inside the interval" if outcome.inside else "outside the interval")
    if outcome.error is not None:
        parts.append(f"{abs(outcome.error):.3g} {'above' if outcome.error >= 0 else 'below'} the mean")
    if outcome.gain is not None:
        word = "better" if outcome.gain > 0 else "worse"
        parts.append(
            f"{abs(outcome.gain):.3g} {word} than the best then" if outcome.gain else "as good as the best then"
        )
    return ": ".join(filter(None, (text.number(trial.score), ", ".join(parts))))


def _tell_replay(trial: TrialRecord, again: dict[str, Any], same: bool) -> None:
    if same:
        say("\nComputed again from the rows: the same parameters.", "green")
        return
    say("\nComputed again from the rows: NOT the same parameters.", "red")
    say(f"  stored  {text.assigned(trial.params, 17)}\n  again   {text.assigned(again, 17)}")
    say("A replay is exact with the version and on the kind of host that suggested it.")
