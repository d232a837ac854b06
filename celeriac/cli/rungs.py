"""`celeriac rungs`: what early stopping did in a study, rung by rung, and what it spared."""

from typing import TYPE_CHECKING

from celeriac.cli import text
from celeriac.cli.json_output import print_json
from celeriac.cli.screen import Grid, say, show
from celeriac.cli.service import AsJson, Home, StudyName, reached
from celeriac.domain.stop_rules import Pbt

if TYPE_CHECKING:
    from celeriac.client.rungs import RungSummary
    from celeriac.domain.records import Savings, StudyRecord


def rungs(study: StudyName, home: Home = None, as_json: AsJson = False) -> None:
    """Show who came to each rung, who was stopped there, and what early stopping spared."""
    from celeriac.client.rungs import summaries

    with reached(home) as client:
        held = client.study(study)
        record, saved = held.record, held.savings()
        found = summaries(record, held.each_trial(), held.each_rung_record())
    rule = record.spec.get("stop_early")
    if as_json:
        print_json({"study": study, "rule": rule, "rungs": found, "saved": saved})
        return
    if rule is None:
        say(f"{study} stops no trial early: its file has no `stop_early`.")
        return
    say(", ".join(f"{key} {value}" for key, value in rule.items()))
    if found:
        bracketed = rule["rule"] == "hyperband"
        head = ("bracket", "rung", "came", "stopped", "best", "trial", "cutoff")
        rows = [_row(each)[0 if bracketed else 1 :] for each in found]
        show(Grid(head[0 if bracketed else 1 :], rows, frozenset(head)))
    elif rule["rule"] == "patience":
        say(f"It has no rungs: `celeriac trials {study} --state PRUNED` says where each trial came to rest.")
    else:
        say("No trial has come to a rung yet.")
    say(saved_in_words(record, saved))


def saved_in_words(study: "StudyRecord", saved: "Savings") -> str:
    """One sentence on what was spared, and the share of all that the study would have cost."""
    if not saved.trials:
        return "No trial was stopped early."
    told = f"{saved.trials} of {text.counted(study.counts.finished, 'trial')} stopped early"
    if (study.spec.get("stop_early") or {}).get("rule") == Pbt.rule:
        return f"{told}: they fell behind their population, and heirs go on in their places."
    if not saved.steps:
        return f"{told}; what that spared can be told once a trial is scored that reported steps."
    whole_s = saved.device_s + study.device_s
    share = f" ({saved.device_s / whole_s:.0%})" if whole_s else ""
    return (
        f"{told}: {text.counted(saved.steps, 'step')} and about {text.span(saved.device_s)} of device time{share} were"
        " not spent."
    )


def _row(each: "RungSummary") -> tuple[str, ...]:
    return (
        str(each.bracket),
        str(each.rung),
        str(each.came),
        str(each.stopped),
        text.number(each.best),
        str(each.best_trial),
        text.number(each.cutoff),
    )
