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
from rich.table import Table

from celeriac.client import Client
from celeriac.client.embedded import attached, ensure_service
from celeriac.client.nights import follow
from celeriac.domain.records import Champion, Firing, FiringState
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
            console.print(morning(night, client, ended))
            if any(firing.state is FiringState.FAILED for firing in ended):
                return 1
        console.print(f"{time.monotonic() - began:.0f} s in all. The state is in {HOME}; look around with:")
        console.print(f"  celeriac schedule show {SCHEDULE} --home {HOME}")
        console.print(f"  celeriac champion {SCHEDULE} airport=JFK --home {HOME}")
    return 0


def watch(console: Console, client: Client, firing_ids: Sequence[int]) -> list[Firing]:
    """Follow the firings to their ends, a line a step; how they ended."""
    ended: dict[int, Firing] = {}
    for firing in follow(client.store, firing_ids):
        ended[firing.id] = firing
        console.print(f"{firing.slice['airport']} {firing.state:<10} {firing.reason}", highlight=False)
    return [ended[each] for each in firing_ids]


def morning(night: datetime, client: Client, firings: Sequence[Firing]) -> Table:
    """What changed, why, and how sure that is: for each airport the test on its hold-out days, and who serves now."""
    table = Table(
        title=f"The morning after {night:%d %B}: log loss on the 21 days before it, in pairs of one seed",
        title_justify="left",
    )
    for name in ("airport", "outcome", "before", "challenger", "gain (interval)", "pairs", "p", "champion is"):
        table.add_column(name, justify="right" if name in ("before", "challenger", "pairs", "p") else "left")
    champions = {champion.slice["airport"]: champion for champion in client.champions(SCHEDULE)}
    verdicts = {verdict.firing_id: verdict for verdict in client.store.verdicts(SCHEDULE)}
    for firing in sorted(firings, key=lambda each: str(each.slice["airport"])):
        airport = firing.slice["airport"]
        champion = champions.get(airport)
        serves = "none yet: the default serves" if champion is None else _named(champion)
        table.add_row(airport, str(firing.state), *_test_of(verdicts.get(firing.id)), serves)
    return table


def _test_of(verdict: Champion | None) -> tuple[str, str, str, str, str]:
    """Mean hold-out loss before and of the challenger, the gain with its interval, the pairs and p."""
    gate = {} if verdict is None else verdict.evidence.get("gate", {})
    if not gate:
        return "-", "-", "no test was worth it", "-", "-"
    pairs, said = gate["asked"]["pairs"], gate["said"]
    means = [
        sum(sum(pair[who]["holdout"]) / len(pair[who]["holdout"]) for pair in pairs) / len(pairs)
        for who in ("champion", "challenger")
    ]
    low, high = said["interval"]
    gain = f"{said['gain']:+.4f} ({low:+.4f} to {high:+.4f})"
    return f"{means[0]:.4f}", f"{means[1]:.4f}", gain, str(len(pairs)), f"{said['p']:.3g}"


def _named(champion: Champion) -> str:
    return f"{champion.study.split('/')[-1]} trial {champion.trial}"


if __name__ == "__main__":
    sys.exit(main())
