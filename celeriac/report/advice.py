"""What a person can do about a fault. Pure; one sentence or two for each class (docs/reference/faults.md)."""

from collections.abc import Iterable

from celeriac.domain.records import Fault, TrialRecord

_MOST_NAMED = 6
_OF_CLASS = {
    Fault.NOT_FINITE: "the search avoids such points; a lower top of the learning rate's range, or clipped gradients,"
    " spare them",
    Fault.TIMEOUT: "raise `timeout`, or report more often and let `stop_early` end what is slow",
    Fault.USER_BUG: "the traceback is in `celeriac logs {study} {number}`; mend the objective, then `celeriac retry"
    " {study}`",
    Fault.INFRASTRUCTURE: "it is run again elsewhere at no charge; `celeriac doctor` and `celeriac workers` say what is"
    " wrong with the host",
    Fault.PREEMPTED: "it goes on by itself, from its checkpoint if it has written one",
}


def advice(trial: TrialRecord, study: str) -> str:
    """What to do about the trial's last fault; "" where it has none."""
    if trial.fault is None:
        return ""
    if trial.fault is Fault.OUT_OF_MEMORY:
        return _for_memory(trial)
    if trial.fault is Fault.INFRASTRUCTURE and "sick device" in trial.detail:
        return (
            "a device is sick; other trials go on elsewhere. Look at it (`nvidia-smi -q`, `dmesg`) and reset or replace"
            " it; `celeriac workers` names its host"
        )
    return _OF_CLASS[trial.fault].format(study=study, number=trial.number)


def _for_memory(trial: TrialRecord) -> str:
    if "CELERIAC_TRIAL_MEMORY_BYTES" in trial.detail:
        return (
            "its worker limits a trial's memory by CELERIAC_TRIAL_MEMORY_BYTES; look for a leak before you raise that"
        )
    if "samples at once" in trial.detail or "micro_batch" in trial.metrics:
        return (
            "half of the samples at once did not fit either: use a smaller model or input, or devices with more memory"
        )
    return (
        "cut the batch by `trial.batch_plan` or `trial.distributed`: then it is tried again with half of the samples at"
        " once; or use devices with more memory"
    )


def advice_by_class(trials: Iterable[TrialRecord], study: str) -> list[str]:
    """A line for each piece of advice that these trials need, with their numbers; of bugs the first one's traceback."""
    found: dict[tuple[str, str], list[TrialRecord]] = {}
    for each in trials:
        if told := advice(each, study):
            found.setdefault((str(each.fault), "" if each.fault is Fault.USER_BUG else told), []).append(each)
    lines = []
    for (fault, _), those in found.items():
        named = ", ".join(str(each.number) for each in those[:_MOST_NAMED]) + (
            ", …" if len(those) > _MOST_NAMED else ""
        )
        lines.append(f"{fault} (trial{'s' if len(those) > 1 else ''} {named}): {advice(those[0], study)}")
    return lines
