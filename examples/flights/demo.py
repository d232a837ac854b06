"""The nightly case, replayed: two nights in a row, three airports, twelve trials a slice a night (`make demo`).

What it does is what a team does, only faster: put a schedule into force, let it fire twice, and read in the morning
what changed, why, and how sure that is. What decides are hold-out days: the search saw neither them nor their scores.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from rich.console import Console

from celeriac.cli.screen import Grid, aligned
from celeriac.client import Client
from celeriac.client.embedded import attached, ensure_service
from celeriac.client.nights import follow
from celeriac.domain.records import Firing, FiringState
from celeriac.report.morning import last_mornings
from celeriac.report.morning.table import COST, HEAD, NUMERIC, table_rows
from celeriac.runtime.settings import Settings

HERE = Path(__file__).parent
HOME = HERE.parent.parent / "build" / "demo"
SCHEDULE = "flights-nightly"
NIGHTS = (
    datetime(2013, 11, 5, 2, tzinfo=ZoneInfo("America/New_York")),
    datetime(2013, 11, 6, 2, tzinfo=ZoneInfo("America/New_York")),
)
SLOTS = 2


def main() -> int:
    """Both nights and their mornings; 1 if a night did not end as it should."""
    console = Console(width=None if sys.stdout.isatty() else 110)  # a file has no edge to wrap at
    settings = Settings.from_env({}, home=HOME)
    if settings.has_service:  # that of a demo a moment ago: it ends by itself, but not at once
        subprocess.run([sys.executable, "-m", "celeriac.cli", "down", "--home", str(HOME)], check=True)
    shutil.rmtree(HOME, ignore_errors=True)  # a demo starts from nothing
    settings = Settings.from_env({}, home=HOME)
    began = time.monotonic()
    settings = ensure_service(settings, slots=SLOTS, say=console.print)
    with attached(settings), Client(settings) as client:
        client.add_schedule(HERE / "nightly.yaml", replace_it=True)
        for night in NIGHTS:
            console.print(f"\n[bold]Night of {night:%d %B %Y}[/bold]: each airport looks, searches and confirms")
            fired = client.fire(SCHEDULE, night.astimezone(UTC))
            ended = watch(console, client, [each.record.firing_id for each in fired if each.record.firing_id])
            morning(client)
            if any(firing.state is FiringState.FAILED for firing in ended):
                return 1
        console.print(f"{time.monotonic() - began:.0f} s in all. The state is in {HOME}; look around with:")
        console.print(f"  celeriac morning {SCHEDULE} --last 2 --home {HOME}")
        console.print(f"  celeriac schedule show {SCHEDULE} --home {HOME}")
        console.print(f"  celeriac champion {SCHEDULE} airport=JFK --home {HOME}")
    return 0


def watch(console: Console, client: Client, firing_ids: Sequence[int]) -> list[Firing]:
    """Follow the firings to their ends, a line a step; how they ended."""
    ended: dict[int, Firing] = {}
    for firing in follow(client.firings_now, firing_ids):
        ended[firing.id] = firing
        console.print(f"{firing.slice['airport']} {firing.state:<10} {firing.reason}", highlight=False)
    return [ended[each] for each in firing_ids]


def morning(client: Client) -> None:
    """What changed and how sure that is, for each airport: the newest row of `celeriac morning SCHEDULE --last N`."""
    nights = list(last_mornings(client.store, SCHEDULE, 1))
    print()
    for line in aligned(Grid((*HEAD, *COST), table_rows(nights), NUMERIC)):
        print(line)


if __name__ == "__main__":
    sys.exit(main())
