"""The tables, and nothing that speaks to them. Rule: `migrations/` makes exactly these; a test compares the two.

`json` keeps what a user wrote as it was written: the order of keys and the digits of numbers (`jsonb` reads 1e22 back
as a whole number and sorts a space's parameters by length). `jsonb` is used where the database itself compares or
edits a value.

Fill factors leave room in a page for the rows that change often, so that a heartbeat rewrites no index (HOT update):
for the same reason `lease_until` has no index; the open attempts are few and have one of their own.
"""

from celeriac.store.tables.access import api_token as api_token
from celeriac.store.tables.access import web_request as web_request
from celeriac.store.tables.access import web_session as web_session
from celeriac.store.tables.access import web_viewer as web_viewer
from celeriac.store.tables.columns import metadata as metadata
from celeriac.store.tables.fleet import device as device
from celeriac.store.tables.fleet import drain as drain
from celeriac.store.tables.fleet import duty as duty
from celeriac.store.tables.fleet import put_aside as put_aside
from celeriac.store.tables.fleet import reaper as reaper
from celeriac.store.tables.schedules import champion as champion
from celeriac.store.tables.schedules import delivery as delivery
from celeriac.store.tables.schedules import firing as firing
from celeriac.store.tables.schedules import replay as replay
from celeriac.store.tables.schedules import schedule as schedule
from celeriac.store.tables.schedules import schedule_edit as schedule_edit
from celeriac.store.tables.schedules import schedule_slice as schedule_slice
from celeriac.store.tables.trials import attempt as attempt
from celeriac.store.tables.trials import attempt_log as attempt_log
from celeriac.store.tables.trials import checkpoint as checkpoint
from celeriac.store.tables.trials import gang_member as gang_member
from celeriac.store.tables.trials import report as report
from celeriac.store.tables.trials import rung as rung
from celeriac.store.tables.trials import study as study
from celeriac.store.tables.trials import trial as trial
