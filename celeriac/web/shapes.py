"""The shapes of the API's answers: records as they are, and the forms of `celeriac.report.forms` by what these take
from records and add. The tests read every answer of theirs against them.
"""

from datetime import datetime
from typing import Any

from celeriac.client.proposing import Proposer
from celeriac.client.waiting import PlaceWait
from celeriac.decide.calendar import Coming
from celeriac.decide.sampler import SamplerDecision
from celeriac.decide.waiting import WaitDecision
from celeriac.domain.provenance import Expectation
from celeriac.domain.records import (
    Attempt,
    Champion,
    Claim,
    CodeRun,
    Delivery,
    Device,
    Duty,
    Firing,
    GangPlace,
    PutAside,
    Report,
    Savings,
    Schedule,
    SliceDue,
    Source,
    StudyRecord,
    TrialRecord,
    TrialState,
)
from celeriac.report.explain.why import Outcome
from celeriac.web.schema import Form, Named, page_of

_Values = dict[str, Any]
_BEST = Form("BestScore", more={"trial": int, "score": float})
_SPELLED = {"metric": str, "budget": int, "finished": int, "best": (_BEST, None)}
_PRIVATE = ("turn", "next_number", "best_number", "best_score")

STUDY = Form("Study", StudyRecord, _PRIVATE, _SPELLED)
LISTED_STUDY = Form("ListedStudy", StudyRecord, (*_PRIVATE, "spec"), _SPELLED, {"spec": _Values})
GOES_ON = Form("StudyGoesOn", STUDY, more={"took_code": bool})
SUBMITTED = Form("Submitted", more={"study": STUDY, "attached": bool, "notes": list[str]})
_COST = Form(
    "Cost",
    more={"slots": int, "at_once": int, "from_studies": int},
    maybe={
        "most_device_hours": float,
        "most_wall_s": float,
        "unknown": str,
        "trial_s": float,
        "device_hours": float,
        "wall_s": float,
    },
)
CHECKED = Form(
    "Checked",
    more={"study": str, "spec": _Values, "code_root": str, "dry_run": bool},
    maybe={
        "name_is": str,
        "trials": int,
        "points_in_space": int | None,
        "sampler": str,
        "first_points": list[_Values],
        "cost": _COST,
    },
)
DELETED = Form(
    "Deleted",
    more={"study": str, "dry_run": bool, "trials": int, "files": int, "size_bytes": int, "refused": list[str]},
)

ATTEMPT = Form("AttemptRun", Attempt, ("token",))
ATTEMPTS = page_of(ATTEMPT)
_RUNS = {"runs": [ATTEMPT], "members": list[GangPlace], "advice": str}
TRIAL = Form("Trial", TrialRecord)
WHOLE_TRIAL = Form("WholeTrial", TrialRecord, more=_RUNS)
_FIELDS = {name: hint for name, hint in TRIAL.properties().items() if name != "number"}
LISTED_TRIAL = Form("ListedTrial", more={"number": int}, maybe={**_FIELDS, **_RUNS})
BEST = Form("BestTrial", TRIAL, more={"study": str, "gain": float | None, "default": TRIAL})
RETRIED = Form("Retried", more={"trials": [TRIAL], "took_code": bool})
ADDED = Form("Added", more={"trials": [TRIAL]})
REPORT = Form("TrialReport", Report, ("checkpoint",))
OWN_REPORT = Form("OwnReport", REPORT, more={"trial": int})
CURVES = Named(Form("Curve", more={"step": list[int], "value": list[float]}))
_AGAIN = Form("ReplayOfTrial", more={"params": _Values, "same": bool})
WHY = Form(
    "TrialWhy",
    more={
        "study": str,
        "number": int,
        "state": TrialState,
        "source": Source,
        "params": _Values,
        "score": float | None,
        "why": _Values,
        "how": str,
        "pending": list[int],
        "expected": Expectation | None,
        "outcome": Outcome | None,
        "replay": (_AGAIN, None),
    },
)

_SPENT = Form("DeviceBudgetSpent", more={"name": str, "hours": float, "spent_s": float})
_LIMITS = {"device_budgets": [_SPENT], "deadline_at": datetime | None, "announced": str}
_LACKS = Form("DeviceLacks", more={"host": str, "device": str, "lacks": str})
_BARRED = Form("BarredTrial", more={"number": int, "reason": str})
_PLACEMENT = Form("Placement", PlaceWait, more={"devices": [_LACKS], "barred": [_BARRED]})
WAITING = Form(
    "Waiting", WaitDecision, more={"study": str, **_LIMITS, "placement": (_PLACEMENT, None), "proposers": [Proposer]}
)
PROGRESS = Form(
    "Progress",
    STUDY,
    more={
        "running": list[TrialRecord],
        "slots": list[str],
        "waiting_because": str,
        "sampler": SamplerDecision,
        "left_s": float | None,
        "saved": Savings,
        **_LIMITS,
        "devices": list[Device],
        "gangs": list[GangPlace],
        "no_place": str,
        "now": datetime,
        "codes": list[CodeRun],
    },
)
ADVICE = Form("Advice", more={"study": str, "share": float | None, "parallel": int, "reasons": list[str]})

SCHEDULE = Form("ScheduleWithDues", more={"schedule": Schedule, "dues": list[SliceDue]})
_WAITS = Form("SliceWaits", more={"slice": _Values, "reason": str})
NEXT = Form("Next", more={"coming": list[Coming], "waiting": [_WAITS], "now": datetime})
FIRING = Form("FiringWithStudies", more={"firing": Firing, "studies": [STUDY]})
FIRINGS = Form("FiringsWithStudies", more={"firings": list[Firing], "studies": [STUDY]})
FIRED = Form("Fired", more={"firings": list[int], "studies": [STUDY]})
REPLAY_STOPPED = Form("ReplayStopped", more={"replay": int, "stopped": bool})
EDITED = Form("Edited", more={"schedule": str, "done": str})
STANDING = Form(
    "Standing",
    more={"slice": _Values, "champion": Champion | None, "awaiting": Champion | None, "deliveries": list[Delivery]},
)

_RUNNING = Form("SlotRuns", more={"study": str, "trial": int, "attempt": int})
_BUSY = Form("SlotBusy", more={"share": float, "window_s": float, "idle_s": dict[str, float]})
DEVICE = Form(
    "FleetDevice",
    Device,
    more={"alive": bool, "running": Named([_RUNNING]), "put_aside": list[PutAside], "busy": Named(_BUSY)},
)
_CLAIM = Form("StudyClaim", more={"study_id": int, "claim": Claim})
FLEET = Form(
    "Fleet",
    more={
        "slots": int,
        "gpu_slots": int,
        "hosts": list[str],
        "claims": [_CLAIM],
        "duties": list[Duty],
        "put_aside": list[PutAside],
        "names": dict[str, str],
        "drained": dict[str, list[str]],
        "now": datetime,
    },
)
DRAINED = Form("Drained", more={"host": str, "devices": list[str], "known": bool, "hosts": list[str]})
UNDRAINED = Form("Undrained", more={"host": str, "devices": list[str], "given_back": int})
ME = Form("Me", more={"name": str, "scopes": list[str], "now": datetime})
