"""The morning after: what a night changed, why, how sure that is, what it cost, and what a person should look at.

`rows.read_morning` reads the rows of one night, `night.morning_of` makes a frozen `Morning` of them, and `lines`,
`messages` and `page` write it; `table` writes many. Rule: every figure follows from the rows, so whoever asks again
gets the same.
"""

from celeriac.report.morning.night import Attention, Morning, SliceMorning
from celeriac.report.morning.rows import last_mornings, nights_of, read_morning

__all__ = ["Attention", "Morning", "SliceMorning", "last_mornings", "nights_of", "read_morning"]
