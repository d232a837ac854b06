"""The key `pack`: how many trials one process trains together. Rule: what does not go with packs is refused here."""

from celeriac.domain.study_file.section import Section
from celeriac.domain.study_file.specs import StudySpec

#: More would not fit into what a trial's process is told at its start.
MOST_PACKED = 64


def pack(top: Section) -> int:
    """How many trials a pack has at most; 0 where the objective is given one trial, and no pack."""
    return top.whole("pack", 1, MOST_PACKED, 0)


def no_packs(top: Section, spec: StudySpec) -> None:
    """Note what does not go with packs. `rule: pbt` is refused where it is read."""
    if not spec.pack:
        return
    if spec.resources.is_gang:
        top.fail(
            "pack",
            "trains several trials in one process, and a gang one trial in several: ask for one slot, one GPU or a"
            " share of one (`resources: {gpus: 0.5}`), or leave `pack` out",
        )
    for key, other in (("command", spec.command), ("api", spec.api)):
        if other:
            top.fail(
                "pack",
                f"hands all its trials to one Python function, and `{key}` calls for one trial at a time: leave `pack`"
                " out, or write an objective that takes a `celeriac.Pack`",
            )
    if spec.parallel is not None and spec.parallel < spec.pack and not spec.reproducible:
        top.fail("parallel", f"counts trials and not packs: it cannot be less than `pack`, {spec.pack}")
    if spec.reproducible and spec.pack > 1:
        top.fail("pack", "runs several trials at once, and `reproducible` one after the other; leave one out")
