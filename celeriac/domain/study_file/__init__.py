"""Study and schedule files: YAML or plain mappings in, validated specs out.

Promise: a spec that exists is sound, and a file that is not is refused whole, with one line for each thing that is
wrong: `study.yaml: space.lr.float: the range [1, 0.1] is inverted: write the lower bound first (line 7)`. Nothing
in a file is ever ignored: an unknown key names the nearest known one, and a key of a later version is refused by name.

YAML is read as version 1.2 with its core schema, whatever the file says of its version.
"""

from celeriac.domain.study_file.blackout import Blackout
from celeriac.domain.study_file.calls import OPTUNA, TOLD, filled, named_in, words_of
from celeriac.domain.study_file.gating import GateSpec, parse_gate
from celeriac.domain.study_file.names import is_study_name, seed_of
from celeriac.domain.study_file.section import seconds_of
from celeriac.domain.study_file.specs import (
    Budget,
    Metric,
    ScheduleSpec,
    SliceSpec,
    StudySpec,
    difference,
    form_of_slice,
)
from celeriac.domain.study_file.stops import run_plan, stop_rule
from celeriac.domain.study_file.study import OUR_NAMES, load, loads, parse
from celeriac.domain.study_file.timing import covering, deadline_at, deadline_of, full_slice_name, offset_s, slice_name
from celeriac.domain.study_file.yaml import Scalar, plain_scalar

__all__ = [
    "OPTUNA",
    "OUR_NAMES",
    "TOLD",
    "Blackout",
    "Budget",
    "GateSpec",
    "Metric",
    "Scalar",
    "ScheduleSpec",
    "SliceSpec",
    "StudySpec",
    "covering",
    "deadline_at",
    "deadline_of",
    "difference",
    "filled",
    "form_of_slice",
    "full_slice_name",
    "is_study_name",
    "load",
    "loads",
    "named_in",
    "offset_s",
    "parse",
    "parse_gate",
    "plain_scalar",
    "run_plan",
    "seconds_of",
    "seed_of",
    "slice_name",
    "stop_rule",
    "words_of",
]
