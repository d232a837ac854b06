"""Watching a study: a picture that stays on a terminal, a line for each change elsewhere.

Ctrl-C once leaves the study running and says how to stop it; a second one within two seconds stops it. While a study is
watched SIGINT is held back and awaited in the pauses between two looks, so that it never cuts a call in half.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from celeriac.cli import text
from celeriac.cli.hints import command
from celeriac.cli.screen import STYLE_OF, Grid, boxed, console, fitted, is_terminal, remark
from celeriac.client.progress import Progress, is_settled, line_of, why_waiting
from celeriac.client.service import Service
from celeriac.client.study import POLL_S, Outage, Study
from celeriac.domain.records import StudyRecord, TrialRecord
from celeriac.domain.sampler_names import AUTO

if TYPE_CHECKING:
    from rich.console import RenderableType

SECOND_CTRL_C_S = 2.0
_MOST_SHOWN = 12
_AROUND = 4  # lines of a table that are none of its rows, and one that the terminal needs


class Left(Exception):
    """The person at the keyboard pressed Ctrl-C; `stopped` tells whether the study was stopped by a second one."""

    def __init__(self, stopped: bool) -> None:
        super().__init__("left with Ctrl-C")
        self.stopped = stopped


def look(client: Service, study: Study) -> tuple[Progress, TrialRecord | None]:
    """The study now, and its best trial so far."""
    progress = client.progress(study)
    return progress, best_of(client, progress.study)


def watch(client: Service, study: Study) -> StudyRecord:
    """Show the study until it is closed or paused; its row then. Raises Left, StoreUnavailable."""
    with held_interrupts():
        try:
            return _on_terminal(client, study) if is_terminal() else _in_lines(client, study)
        except KeyboardInterrupt:
            raise Left(_leave(study)) from None


def pause_s(seconds: float) -> None:
    """Wait; Ctrl-C ends the wait with KeyboardInterrupt. Only where SIGINT is held back."""
    if signal.sigtimedwait([signal.SIGINT], seconds) is not None:
        raise KeyboardInterrupt


@contextmanager
def held_interrupts() -> Iterator[None]:
    """Hold SIGINT back for the block; `pause_s` is where it arrives."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave(study: Study) -> bool:
    """Say what Ctrl-C did, and stop the study if it is pressed again. Whether it was stopped."""
    remark(
        f"\nLeft: {study.name} goes on. `{command('watch', study.name)}` comes back, "
        f"`{command('stop', study.name)}` ends it (so does Ctrl-C again within {SECOND_CTRL_C_S:g} s)."
    )
    try:
        pause_s(SECOND_CTRL_C_S)
    except KeyboardInterrupt:
        study.stop("stopped with Ctrl-C")
        remark(f"Stopped {study.name}.")
        return True
    return False


def _on_terminal(client: Service, study: Study) -> StudyRecord:
    from rich.live import Live

    outage = Outage()
    with Live(console=console(), auto_refresh=False, transient=True) as live:
        while True:
            seen = outage.bridged(lambda: look(client, study))
            if seen is None:
                live.update("Postgres does not answer; waiting for it.", refresh=True)
            elif is_settled(seen[0].study):
                return seen[0].study
            else:
                live.update(picture(*seen, live=True), refresh=True)
            pause_s(POLL_S)


def _in_lines(client: Service, study: Study) -> StudyRecord:
    outage, before = Outage(), ""
    while True:
        progress = outage.bridged(lambda: client.progress(study))
        line = "Postgres does not answer; waiting for it" if progress is None else line_of(progress)
        if line != before:
            print(line, flush=True)
        before = line
        if progress is not None and is_settled(progress.study):
            return progress.study
        pause_s(POLL_S)


def best_of(client: Service, study: StudyRecord) -> TrialRecord | None:
    """The best trial so far."""
    return None if study.best_number is None else client.study_of(study).trial(study.best_number)


def picture(progress: Progress, best: TrialRecord | None, *, live: bool = False) -> "RenderableType":
    """One look at a study; `live`: within the terminal's height, its last line says what Ctrl-C does."""
    from rich.console import Group
    from rich.text import Text

    study, terminal = progress.study, console()
    head = Text.assemble(
        (study.name, "bold"), "  ", (str(study.state), STYLE_OF.get(study.state, "")), "  ", _goal(progress)
    )
    foot = Text(_counts(progress) + ("   Ctrl-C leaves it running" if live else ""), style="dim")
    parts: list[RenderableType] = [head, _bar(progress), _best_line(best)]
    if progress.running:
        used = sum(len(terminal.render_lines(part)) for part in (*parts, foot)) + _AROUND
        grid = running_grid(progress, max(terminal.height - used, 1) if live else _MOST_SHOWN)
        parts.append(boxed(fitted(grid, terminal.width), terminal.width, one_line=live))
    elif waiting := why_waiting(progress):
        parts.append(Text(f"waiting: {waiting}", style="yellow"))
    return Group(*parts, foot)


def _goal(progress: Progress) -> str:
    spec = progress.study.spec
    auto = " (auto)" if spec.get("sampler", AUTO) == AUTO else ""
    return f"{spec['metric']['goal']} {progress.study.metric}, {progress.sampler.name} sampler{auto}"


def sampler_line(progress: Progress) -> str:
    """Which sampler suggests the trials, and why where that was not the study file's word."""
    decision = progress.sampler
    auto = progress.study.spec.get("sampler", AUTO) == AUTO
    return f"sampler: {decision.name}" + (f", chosen by auto: {decision.reason}" if auto else "")


def _bar(progress: Progress) -> "RenderableType":
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    row = Table.grid(padding=(0, 2))
    left = progress.left_s
    row.add_row(
        ProgressBar(total=progress.study.budget, completed=progress.study.counts.finished, width=40),
        f"{progress.study.counts.finished}/{progress.study.budget}",
        f"{text.span(progress.elapsed_s)} so far",
        "" if left is None else f"about {text.span(left)} left",
    )
    return row


def _best_line(best: TrialRecord | None) -> "RenderableType":
    from rich.text import Text

    if best is None:
        return Text("best   no score yet", style="dim")
    return Text.assemble(
        "best   ",
        (text.number(best.score), "bold green"),
        f"  trial {best.number}  {text.assigned(best.params)}",
        overflow="ellipsis",
        no_wrap=True,
    )


def running_grid(progress: Progress, most: int = _MOST_SHOWN) -> Grid:
    """The running trials with their last report, in at most so many rows."""
    shown = progress.running if len(progress.running) <= most else progress.running[: most - 1]
    rows = [
        (
            str(trial.number),
            str(trial.attempts),
            text.between(trial.started_at, progress.now),
            "-" if trial.last_value is None else f"{text.number(trial.last_value, 4)} at step {trial.last_step}",
            text.with_members(trial.worker, progress.members(trial.number)),
            text.assigned(trial.params, 3),
        )
        for trial in shown
    ]
    if len(progress.running) > len(shown):
        rows.append(("…", "", "", "", "", f"and {len(progress.running) - len(shown)} more"))
    head = ("trial", "attempt", "for", "last report", "worker", "parameters")
    return Grid(head, rows, frozenset(head[:3]), spare=("worker", "attempt"))


def _counts(progress: Progress) -> str:
    counts = progress.study.counts
    parts = [f"{counts.running} running", f"{counts.queued} queued", f"{counts.waiting + counts.paused} waiting"]
    parts += [
        f"{count} {word}"
        for word, count in (("pruned", counts.pruned), ("failed", counts.failed), ("cancelled", counts.cancelled))
        if count
    ]
    parts.append(f"{text.counted(len(progress.slots), 'slot')} alive")
    return ", ".join(parts)
