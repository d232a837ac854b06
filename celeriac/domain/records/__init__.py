"""The records: what the store's rows are when they travel through the programs.

All are frozen; none knows how it is stored or drawn. Times end in `_at` and are aware UTC, durations in `_s`,
sizes in `_bytes`. Values that came from a user's file (`spec`, `params`, `metrics`) stay plain JSON mappings.
"""

from celeriac.domain.records.artefact import Artefact as Artefact
from celeriac.domain.records.artefact import Delivery as Delivery
from celeriac.domain.records.artefact import DeliveryKind as DeliveryKind
from celeriac.domain.records.artefact import Publication as Publication
from celeriac.domain.records.artefact import Published as Published
from celeriac.domain.records.attempt import IF_GIVEN as IF_GIVEN
from celeriac.domain.records.attempt import Attempt as Attempt
from celeriac.domain.records.attempt import Checkpoint as Checkpoint
from celeriac.domain.records.attempt import CodeRun as CodeRun
from celeriac.domain.records.attempt import Lease as Lease
from celeriac.domain.records.attempt import LetGo as LetGo
from celeriac.domain.records.attempt import OpenAttempt as OpenAttempt
from celeriac.domain.records.attempt import Refusal as Refusal
from celeriac.domain.records.attempt import Report as Report
from celeriac.domain.records.attempt import RunningAttempt as RunningAttempt
from celeriac.domain.records.attempt import RunPlan as RunPlan
from celeriac.domain.records.calendar import FiringOpen as FiringOpen
from celeriac.domain.records.calendar import ScheduleEdit as ScheduleEdit
from celeriac.domain.records.calendar import SliceDue as SliceDue
from celeriac.domain.records.firing import Champion as Champion
from celeriac.domain.records.firing import Firing as Firing
from celeriac.domain.records.firing import NewFiring as NewFiring
from celeriac.domain.records.fleet import ALIVE_BEATS as ALIVE_BEATS
from celeriac.domain.records.fleet import Device as Device
from celeriac.domain.records.fleet import Duty as Duty
from celeriac.domain.records.fleet import PutAside as PutAside
from celeriac.domain.records.fleet import ReaperLook as ReaperLook
from celeriac.domain.records.night import Night as Night
from celeriac.domain.records.resources import Resources as Resources
from celeriac.domain.records.rungs import Crossing as Crossing
from celeriac.domain.records.rungs import Ranking as Ranking
from celeriac.domain.records.rungs import RungRecord as RungRecord
from celeriac.domain.records.schedule import Schedule as Schedule
from celeriac.domain.records.states import CLOSED as CLOSED
from celeriac.domain.records.states import ENDED as ENDED
from celeriac.domain.records.states import FINISHED as FINISHED
from celeriac.domain.records.states import GIVEN as GIVEN
from celeriac.domain.records.states import WORKING as WORKING
from celeriac.domain.records.states import Fault as Fault
from celeriac.domain.records.states import FiringState as FiringState
from celeriac.domain.records.states import Goal as Goal
from celeriac.domain.records.states import Outcome as Outcome
from celeriac.domain.records.states import Params as Params
from celeriac.domain.records.states import Source as Source
from celeriac.domain.records.states import Stage as Stage
from celeriac.domain.records.states import StudyState as StudyState
from celeriac.domain.records.states import TrialState as TrialState
from celeriac.domain.records.states import VerdictKind as VerdictKind
from celeriac.domain.records.study import MOST_READY as MOST_READY
from celeriac.domain.records.study import Claim as Claim
from celeriac.domain.records.study import Counts as Counts
from celeriac.domain.records.study import DeviceSpent as DeviceSpent
from celeriac.domain.records.study import NewStudy as NewStudy
from celeriac.domain.records.study import Savings as Savings
from celeriac.domain.records.study import Snapshot as Snapshot
from celeriac.domain.records.study import StudyRecord as StudyRecord
from celeriac.domain.records.trial import EndedTrial as EndedTrial
from celeriac.domain.records.trial import PendingTrial as PendingTrial
from celeriac.domain.records.trial import Suggestion as Suggestion
from celeriac.domain.records.trial import TrialRecord as TrialRecord
from celeriac.domain.records.trial import html_table as html_table
