"""All metrics by name: one table that the programs, the documentation, the dashboard and the alerts are held to.

`rows`: read from Postgres when somebody scrapes, by `clock` and by the web program alike, so queries take the maximum
over the instances and never the sum. `program`: counted where it happens, from the start of that program.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["gauge", "counter", "histogram"]
PREFIX = "celeriac_"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name behind `PREFIX`, what it is, its labels, who tells it."""

    name: str
    kind: Kind
    about: str
    labels: tuple[str, ...] = ()
    of: Literal["rows", "drive", "clock", "node"] = "rows"


METRICS: tuple[Metric, ...] = (
    Metric("studies", "gauge", "Studies by state", ("state",)),
    Metric("trials", "gauge", "Trials by state", ("state",)),
    Metric("trials_failed", "gauge", "Failed trials by the class of their last fault", ("fault",)),
    Metric("queue_depth", "gauge", "Trials that have a ticket and no slot yet"),
    Metric("queue_oldest_seconds", "gauge", "How long the oldest of them has waited since its ticket was last sent"),
    Metric("waiting_trials", "gauge", "Suggested trials without a ticket"),
    Metric("slots", "gauge", "Slots of hosts that are alive: all, busy with a trial, put aside", ("state",)),
    Metric("hosts_alive", "gauge", "Hosts whose node spoke lately"),
    Metric("devices_ill", "gauge", "Devices of living hosts whose health is not ok"),
    Metric(
        "slot_gap_seconds", "gauge", "From a trial's end to the next lease of its slot, last 10 minutes", ("quantile",)
    ),
    Metric(
        "attempts_recent", "gauge", "Attempts leased in the last 10 minutes by how they ended", ("outcome", "fault")
    ),
    Metric("leases_lapsed", "gauge", "Open attempts whose lease has run out"),
    Metric("firings_late", "gauge", "Slices whose due time passed more than a minute ago and that have not begun"),
    Metric("firing_late_seconds", "gauge", "By how much the latest of them is late"),
    Metric("firings_open", "gauge", "Firings that have more to do, by state", ("state",)),
    Metric(
        "gate_decisions", "gauge", "Verdicts on slices by who made them and what became of them", ("kind", "outcome")
    ),
    Metric("deliveries_pending", "gauge", "Publications, hooks and mornings that have not come through"),
    Metric("duty_age_seconds", "gauge", "Since the coordinator last drove, reaped, fired", ("duty",)),
    Metric("scrape_seconds", "gauge", "What reading these rows took"),
    Metric("suggestion_seconds", "histogram", "Seconds for one suggestion", of="drive"),
    Metric("turns_total", "counter", "Turns of studies", of="drive"),
    Metric("turn_errors_total", "counter", "Turns that failed and are tried again", of="drive"),
    Metric("leases_lost_total", "counter", "Leases that lapsed and were taken from their worker", of="clock"),
    Metric("tickets_resent_total", "counter", "Lost tickets that were sent again", of="clock"),
    Metric("node_slots", "gauge", "This node's slots by whether their worker runs", ("state",), "node"),
    Metric("node_devices_out", "gauge", "This node's devices that take no trials", of="node"),
    Metric("node_worker_deaths_total", "counter", "Workers of this node that died", of="node"),
)
BY_NAME = {each.name: each for each in METRICS}
