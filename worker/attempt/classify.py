"""How did the attempt end? Pure: evidence in, a verdict with its words out, then the attempt's end as
`celeriac.decide` wants it.

The order of belief: a score that arrived is a score, whatever came after it; then that the trial was stopped early;
then what the runner did to it itself (a timeout, a drain); then what the child said; then how its process ended. The
classes and their words are in docs/reference/faults.md.
"""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from celeriac.decide.retry import RetryDecision
from celeriac.decide.stop_early import StopDecision
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.records import Fault
from celeriac.store.api import AttemptEnd
from worker.process.events import Exit, Failed, Returned, Stopped
from worker.process.failure import from_words

MAX_TEXT = 32_000
# The exit code of a child that failed in our own code, before or after the objective (sysexits' EX_SOFTWARE).
OUR_FAILURE = 70
# What C and C++ print before they abort for memory, as under a resource limit.
_ABORTS_FOR_MEMORY = ("std::bad_alloc", "out of memory", "Cannot allocate memory", "cudaErrorMemoryAllocation")
# A process killed with this share of its memory limit in use was killed for memory, also where no counter says so.
NEAR_LIMIT = 0.9
# Signals that somebody sends; all others are raised by what the process itself did.
_SENT = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT})


class Cut(StrEnum):
    """Why the runner itself ended a trial that had not told its end."""

    TIMEOUT = "timeout"
    IMPORT = "import"
    DRAIN = "drain"
    REVOKED = "revoked"
    LEASE_LOST = "lease lost"
    VALUE_REFUSED = "value refused"
    MEMBER = "member lost"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known when a trial's process has said its last word, or is gone.

    last: its last word, if it had one. exit: how its process ended, as far as that is known yet. cut: why the runner
    ended it. stop: the decision that stopped it early. keeps_score: then a score that it returns all the same counts.
    printed: the end of what it printed.
    """

    last: Returned | Stopped | Failed | None = None
    exit: Exit = field(default_factory=Exit)
    cut: Cut | None = None
    timeout_s: float | None = None
    import_s: float = 0.0
    last_step: int | None = None
    memory_limit_bytes: int | None = None
    stop: StopDecision | None = None
    keeps_score: bool = False
    printed: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the attempt came to: a score, a fault (then `fault` is set), or `pruned` without either."""

    fault: Fault | None
    detail: str = ""
    score: float | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    step: int | None = None
    traceback: str = ""
    signature: str = ""
    pruned: bool = False
    holdout: tuple[float, ...] = ()
    drift: float | None = None


def classify(evidence: Evidence) -> Verdict:
    """The verdict on one attempt."""
    last = evidence.last
    if isinstance(last, Returned):
        return _scored(last, last.score)
    if evidence.stop is not None and not isinstance(last, Failed):
        return _stopped_early(evidence, evidence.stop)
    if evidence.cut is not None:
        return of_words(_cut_short(evidence, evidence.cut))
    if isinstance(last, Stopped):
        return of_words(from_words(Fault.PREEMPTED, f"handed back{_after(evidence.last_step)}"))
    if isinstance(last, Failed):
        return of_words(last)
    return of_words(_silent_end(evidence))


def of_words(faulted: Failed) -> Verdict:
    """A fault in words as a verdict that Postgres can hold."""
    return Verdict(
        faulted.fault, clean(faulted.detail), traceback=clean(faulted.traceback), signature=faulted.signature
    )


def attempt_end(verdict: Verdict, decision: RetryDecision | None, notes: Sequence[str]) -> AttemptEnd:
    """The verdict as the attempt's end: the score, or what was decided about the fault (`decision`, None without one).

    `notes` are what else the trial's owner should know, as that no checkpoint was sound; they stand in front of the
    detail.
    """
    said = [*map(clean, notes), verdict.detail]
    if decision is None:
        return AttemptEnd(
            AttemptEvent.PRUNE if verdict.pruned else AttemptEvent.SCORE,
            TrialEvent.PRUNE if verdict.pruned else TrialEvent.SCORE,
            score=verdict.score,
            metrics=verdict.metrics,
            step=verdict.step,
            holdout=verdict.holdout,
            drift=verdict.drift,
            detail="; ".join(filter(None, said)),
        )
    return AttemptEnd(
        decision.attempt_event,
        decision.trial_event,
        fault=verdict.fault,
        forgives=decision.forgives,
        wait_s=decision.wait_s,
        detail="; ".join(filter(None, [*said, _worth_saying(decision)])),
        traceback=verdict.traceback,
        signature=verdict.signature,
    )


def _worth_saying(decision: RetryDecision) -> str:
    """Why a trial goes on, or why its retries are over; that a fault which is never retried was not, nobody needs to
    read.
    """
    return "" if decision.is_final else decision.reason


def clean(text: str) -> str:
    """Text that Postgres can hold: no NUL, no lone surrogate, not more than MAX_TEXT characters."""
    plain = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    return plain if len(plain) <= MAX_TEXT else plain[:MAX_TEXT] + "…"


def clean_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics whose names and texts Postgres can hold."""
    return {clean(name): clean(value) if isinstance(value, str) else value for name, value in metrics.items()}


def _scored(last: Returned | Stopped, score: float, detail: str = "") -> Verdict:
    return Verdict(
        None,
        detail,
        score=score,
        metrics=clean_metrics(last.metrics),
        step=last.step,
        holdout=last.holdout,
        drift=last.drift,
    )


def _stopped_early(evidence: Evidence, stop: StopDecision) -> Verdict:
    """The decision stands, however the process ended after it: a trial that has fallen behind is not run again."""
    if stop.fault is not None:
        return of_words(from_words(stop.fault, f"stopped early: {stop.reason}"))
    last = evidence.last
    if evidence.keeps_score and isinstance(last, Stopped) and last.score is not None:
        return _scored(last, last.score, stop.reason)
    return Verdict(None, stop.reason, step=evidence.last_step, pruned=True)


def _cut_short(evidence: Evidence, cut: Cut) -> Failed:
    after = _after(evidence.last_step)
    if cut is Cut.TIMEOUT:
        return from_words(Fault.TIMEOUT, f"ran longer than its timeout of {evidence.timeout_s:g} s{after}")
    if cut is Cut.IMPORT:
        return from_words(
            Fault.USER_BUG,
            f"objective cannot be imported: its module was still busy after {evidence.import_s:g} s: do the work in the"
            " objective and not at the module's top level, or raise CELERIAC_IMPORT_S on the workers",
            "import",
            "too long",
        )
    if cut is Cut.DRAIN:
        return from_words(Fault.PREEMPTED, f"its worker was told to stop{after}")
    return from_words(Fault.PREEMPTED, f"ended by its worker ({cut}){after}")


def _silent_end(evidence: Evidence) -> Failed:
    """The process is gone and said nothing."""
    after, exit_ = _after(evidence.last_step), evidence.exit
    if exit_.signal is not None:
        return _by_signal(evidence, exit_.signal, after)
    if exit_.code is None:
        return from_words(Fault.INFRASTRUCTURE, f"{exit_.lost or 'its process was lost'}{after}")
    if exit_.code == OUR_FAILURE:
        return from_words(Fault.INFRASTRUCTURE, f"its process failed outside the objective{after}: see the trial's log")
    return from_words(
        Fault.USER_BUG,
        f"the objective's process exited with code {exit_.code}{after}: return a score instead",
        "exit",
        str(exit_.code),
    )


def _by_signal(evidence: Evidence, number: int, after: str) -> Failed:
    name = signal_name(number)
    if number == signal.SIGKILL and _for_memory(evidence):
        peak = f"{evidence.exit.peak_memory_bytes / 2**20:,.0f} MiB"
        return from_words(Fault.OUT_OF_MEMORY, f"killed by the kernel for memory{after}; its peak was {peak}")
    if number not in _SENT and any(words in evidence.printed for words in _ABORTS_FOR_MEMORY):
        return from_words(Fault.OUT_OF_MEMORY, f"aborted for memory ({name}){after}: see the end of its log")
    if number in _SENT:
        return from_words(Fault.INFRASTRUCTURE, f"killed by {name} from outside{after}")
    return from_words(
        Fault.USER_BUG,
        f"the objective's process crashed with {name}{after}: look at the native libraries it uses",
        "signal",
        name,
    )


def _for_memory(evidence: Evidence) -> bool:
    if evidence.exit.oom_kills > 0:
        return True
    limit = evidence.memory_limit_bytes
    return limit is not None and evidence.exit.peak_memory_bytes >= NEAR_LIMIT * limit


def signal_name(number: int) -> str:
    """SIGSEGV for 11, and `signal 63` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _after(step: int | None) -> str:
    return "" if step is None else f" after step {step}"
