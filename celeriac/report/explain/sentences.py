"""A trial's explanation in sentences and lines, the same on a terminal and on a page. Pure."""

from typing import Any

from celeriac.domain.provenance import Expectation
from celeriac.domain.records import Source, TrialRecord
from celeriac.report.explain.why import Explanation, Outcome
from celeriac.report.words import counted, number, one_line, value_text

_MOST_PENDING = 12
#: What our model adds of its own, each a number of trials.
_COUNTED = {"fitted_on": "model fitted on", "kept": "model holds"}


def lines_of(metric: str, trial: TrialRecord, explanation: Explanation) -> list[tuple[str, str]]:
    """What the model said of the point, what its sampler noted, and how it turned out: (what, told) each."""
    found = explanation.provenance
    rows = _expected(metric, found.expected) if found.expected else []
    rows += [_own(key, value) for key, value in found.more.items()]
    if found.expected:
        rows.append(("it turned out", _turned_out(trial, explanation.outcome)))
    return rows


def sentences_of(trial: TrialRecord, explanation: Explanation) -> str:
    """How it was found, and what was known: two sentences at most."""
    found = explanation.provenance
    if trial.source is not Source.SUGGESTED or found.sampler is None:
        return f"It is {explanation.how}."
    seed = "" if found.seed is None else f", seed {found.seed}"
    words = f"Suggested by the {found.sampler} sampler{seed}: {explanation.how}."
    if found.observed is None:
        return words
    known = counted(found.observed, "ended trial")
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
            between = f"{number(expected.low)} and {number(expected.high)}"
            interval = f", nine in ten between {between} (the model's own word: it knows no bounds of {metric})"
        rows.append((f"expected {metric}", number(expected.mean) + interval))
    if expected.incumbent is not None:
        named = "" if expected.incumbent_number is None else f" (trial {expected.incumbent_number})"
        rows.append(("best then", number(expected.incumbent) + named))
    if expected.expected_gain is not None:
        rows.append(("expected gain", number(expected.expected_gain, 3)))
    if expected.feasible is not None:
        rows.append(("chance to fail", f"{1 - expected.feasible:.0%}"))
    return rows


def _own(key: str, value: Any) -> tuple[str, str]:
    """What only its sampler knows."""
    if key in _COUNTED:
        return _COUNTED[key], counted(value, "trial")
    return key.replace("_", " "), value_text(value, 6)


def _turned_out(trial: TrialRecord, outcome: Outcome | None) -> str:
    if trial.fault is not None:
        return f"failed: {trial.fault}: {one_line(trial.detail)}"
    if trial.score is None or outcome is None:
        last = "" if trial.last_value is None else f", last report {number(trial.last_value)}"
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
    return ": ".join(filter(None, (number(trial.score), ", ".join(parts))))
