"""The nightly case, replayed: two nights in a row, three airports, twelve trials a slice a night (`make demo`).

What it does is what a team does, only faster: put a schedule into force, let it fire twice, and look at the champions.
The days that decide are hold-out days: the search saw neither them nor their scores, and the default's best epoch
meets the champion's best epoch.
"""

import shutil
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table

from celeriac.client import Client, Study
from celeriac.client.embedded import attached, ensure_service
from celeriac.domain.records import Champion, StudyState
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
    """Both nights and the table; 1 if a study did not end as it should."""
    console = Console(width=None if sys.stdout.isatty() else 110)  # a file has no edge to wrap at
    settings = Settings.from_env({}, home=HOME)
    if not settings.has_service:
        shutil.rmtree(HOME, ignore_errors=True)  # a demo starts from nothing
    began = time.monotonic()
    settings = ensure_service(settings, slots=SLOTS, say=console.print)
    with attached(settings), Client(settings) as client:
        client.add_schedule(HERE / "nightly.yaml", replace_it=True)
        for night in NIGHTS:
            console.print(f"\n[bold]Night of {night:%d %B %Y}[/bold]: one study for each airport")
            studies = client.fire(SCHEDULE, night.astimezone(UTC))
            if not watch(console, studies):
                return 1
            console.print(table_of(night, client, [study.record.id for study in studies]))
        console.print(f"{time.monotonic() - began:.0f} s in all. The state is in {HOME}; look around with:")
        console.print(f"  celeriac champions {SCHEDULE} --history --home {HOME}")
    return 0


def watch(console: Console, studies: Sequence[Study]) -> bool:
    """Follow the studies to their ends, a line whenever trials have finished; whether all are DONE."""
    said = ""
    open_studies = list(studies)
    while open_studies:
        open_studies = [study for study in studies if study.state in (StudyState.OPEN, StudyState.RUNNING)]
        line = "   ".join(_progress(study) for study in studies)
        if line != said:
            console.print(line, highlight=False)
            said = line
        time.sleep(0.5)
    for study in studies:
        if study.state is not StudyState.DONE:
            console.print(f"[red]{study.record.name} is {study.state}: {study.reason}[/red]")
    return all(study.state is StudyState.DONE for study in studies)


def _progress(study: Study) -> str:
    record = study.record
    best = f"best {record.best_score:.4f}" if record.best_score is not None else "best -     "
    return f"{record.slice['airport']} {record.counts.finished:2}/{record.spec['budget']['trials']} {best}"


def table_of(night: datetime, client: Client, study_ids: Sequence[int]) -> Table:
    """Default against champion on the hold-out days, for each airport, and whether tonight's best took the place."""
    table = Table(
        title=(
            f"Log loss on the 14 hold-out days from {night:%d %B} on (lower is better; best epoch against best epoch)"
        ),
        title_justify="left",
    )
    for name in ("airport", "default", "champion", "gain", "champion is", "tonight, on the validation days"):
        table.add_column(name, justify="right" if name in ("default", "champion", "gain") else "left")
    tonight = [verdict for verdict in client.store.verdicts(SCHEDULE) if verdict.study_id in study_ids]
    champions = {champion.slice["airport"]: champion for champion in client.champions(SCHEDULE)}
    for verdict in sorted(tonight, key=lambda each: str(each.slice["airport"])):
        airport = verdict.slice["airport"]
        table.add_row(airport, *_scores(client, champions.get(airport)), _verdict(verdict))
    return table


def _verdict(verdict: Champion) -> str:
    if verdict.score is None or verdict.default_score is None:
        return f"not promoted: {verdict.reason}"
    outcome = "promoted" if verdict.promoted else "not promoted"
    return f"{verdict.default_score:.4f} -> {verdict.score:.4f}: {outcome}"


def _scores(client: Client, champion: Champion | None) -> tuple[str, str, str, str]:
    """Default and champion on the hold-out days of the night that the champion comes from."""
    if champion is None or champion.trial is None:
        return "-", "-", "-", "none yet"
    default = float(client.store.trial(champion.study_id, 0).metrics["holdout"])
    best = float(champion.metrics["holdout"])
    return (
        f"{default:.4f}",
        f"{best:.4f}",
        f"{100 * (default - best) / default:+.1f} %",
        f"{champion.study.split('/')[-1]} trial {champion.trial}",
    )


if __name__ == "__main__":
    sys.exit(main())
