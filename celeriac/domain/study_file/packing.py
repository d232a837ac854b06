"""The key `pack`: how many trials one process trains together. Rule: what does not go with packs is refused here."""

from celeriac.domain.study_file.section import NOT_BUILT, Section
from celeriac.domain.study_file.specs import StudySpec

#: More would not fit into what a trial's process is told at its start.
MOST_PACKED = 64


def pack(top: Section) -> int:
    """How many trials a pack has at most; 0 where the objective is given one trial, and no pack."""
    return top.whole("pack", 1, MOST_PACKED, 0)


def no_packs(top: Section, spec: StudySpec) -> None:
    """Note what does not go with packs."""
    if not spec.pack:
        return
    if not spec.resources.is_plain:
        top.fail("pack", f"needs a whole slot or a whole GPU for all its trials; with other `resources`: {NOT_BUILT}")
    if spec.command or spec.api:
        top.fail("pack", "is for objectives that take a `celeriac.Pack`: leave it out")
    if spec.parallel is not None and spec.parallel < spec.pack and not spec.reproducible:
        top.fail("parallel", f"counts trials and not packs: it cannot be less than `pack`, {spec.pack}")
    if spec.reproducible and spec.pack > 1:
        top.fail("pack", "runs several trials at once, and `reproducible` one after the other; leave one out")
