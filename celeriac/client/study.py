"""A study as its users hold it: fresh facts at each look, and the verbs that a person may say to it."""

import importlib.util
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from celeriac.client.dropped import Doomed
from celeriac.client.lineage import Part, lineage
from celeriac.client.looking import Looking
from celeriac.client.models import best_model
from celeriac.client.objective import code_here
from celeriac.client.progress import is_settled
from celeriac.client.proposing import add_points
from celeriac.client.retention import Dropped, delete_files, study_files
from celeriac.client.waiting import device_budgets_of
from celeriac.decide.advise import AdviceDecision, advise
from celeriac.decide.extend import extended, why_not_reopen
from celeriac.decide.stop_early import cutoff_of
from celeriac.domain.errors import IllegalTransition, StoreUnavailable, StudyPaused, UnknownTrial
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import (
    CLOSED,
    Report,
    RungRecord,
    StudyRecord,
    StudyState,
    TrialRecord,
    TrialState,
    html_table,
)
from celeriac.domain.study_file import StudySpec, parse, stop_rule
from celeriac.report.explain.importance import Importances, Method, importances
from celeriac.report.export import TOOLS, Exported, exported, usual_place
from celeriac.report.plots import KINDS, Chart, Scene
from celeriac.report.plots.rungs import worth_a_curve
from celeriac.report.rows import row_of as row_of
from celeriac.runtime.fingerprint import same_code
from celeriac.runtime.settings import Settings
from celeriac.store import Store
from celeriac.store.refusals import not_deletable

POLL_S = 0.5
#: How long a waiting client puts up with a Postgres that does not answer: longer than a restart takes.
OUTAGE_S = 120.0
_PAGE, _ALL = 500, 1_000_000

T = TypeVar("T")
# Text that needs no quotes in YAML, and the words that do, since YAML 1.1 reads them as booleans, null or a number.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_RESERVED = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})

Wake = Callable[[StudyRecord], str]


class Study(Looking):
    """One study of the service, by its row's id; reads the store at each look, so that nothing shown is stale."""

    def __init__(self, store: Store, record: StudyRecord, wake: Wake, settings: Settings) -> None:
        self._store = store
        self._wake = wake
        self._settings = settings
        self.took_code = False
        self.id = record.id
        self.name = record.name

    def __repr__(self) -> str:
        return f"Study({self.name!r})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        record, best = self.record, self.best
        rows: dict[str, object] = {"study": record.name, "state": f"{record.state}: {record.reason}"}
        rows["finished"] = f"{record.counts.finished} of {record.budget} trials"
        if best is not None:
            rows |= {f"best {record.metric}": best.score, "trial": best.number, **best.params}
        return html_table(rows)

    @property
    def record(self) -> StudyRecord:
        """The study's row as it is now."""
        return self._store.study(self.id)

    @property
    def state(self) -> StudyState:
        """OPEN, RUNNING, PAUSED, DONE, STOPPED or FAILED."""
        return self.record.state

    @property
    def reason(self) -> str:
        """Why it is in its state."""
        return self.record.reason

    @property
    def best(self) -> TrialRecord | None:
        """The best trial so far, with its `params`, `score` and `metrics`; None before the first score."""
        number = self.record.best_number
        return None if number is None else self._store.trial(self.id, number)

    def lineage(self, number: int | None = None) -> list[Part]:
        """The course of a trial's training, by default the best one's: of an heir (`stop_early: {rule: pbt}`) each
        part, with its parameters and its trial, first to last; none before the first score. Raises UnknownTrial.
        """
        trial = self.best if number is None else self.trial(number)
        return [] if trial is None else lineage(self._store, trial)

    def best_model(self, path: str | Path) -> Path:
        """Copy the best trial's model, where the study keeps it, to a file; returns its path.

        Raises CallerError when there is none, ArtefactDamaged when it is not what its row says.
        """
        best_model(self._store, self._settings, self.record, Path(path))
        return Path(path)

    @property
    def spec(self) -> StudySpec:
        """The study file that it was opened with. Raises SpecInvalid where this version cannot read it."""
        return parse(self.record.spec, f"study {self.name}")

    def importance(self, method: Method = "ped-anova") -> Importances:
        """Which parameters mattered: see `celeriac.report.explain.importance`. Raises ExtraMissing without Optuna."""
        return importances(self.spec.space, self.record.goal, list(self.each_trial()), method)

    def plot(self, kind: str = "history") -> Chart:
        """One picture of the study (`celeriac.report.plots.KINDS`): a notebook shows it;
        `celeriac.report.plots.drawn.png(...)` draws it.

        Raises ValueError for an unknown kind, ExtraMissing for `importance` without Optuna.
        """
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no kind of picture; known: {', '.join(KINDS)}")
        return KINDS[kind](self.scene([kind]))

    def scene(self, kinds: Iterable[str] = tuple(KINDS)) -> Scene:
        """The study's rows as they are now, as far as these kinds of pictures need them."""
        kinds, record, trials = set(kinds), self.record, list(self.each_trial())
        found = Scene(record, parse(record.spec, f"study {self.name}"), trials)
        if "rungs" in kinds:
            curves = self._curves(worth_a_curve(trials, record.goal))
            found = replace(found, curves=curves, rungs=list(self.each_rung_record()))
        if "importance" in kinds:
            found = replace(found, importance=self.importance())
        return found

    def _curves(self, numbers: Sequence[int]) -> dict[int, list[tuple[int, float]]]:
        """What these trials reported, as steps and values."""
        return {n: [(each.step, each.value) for each in self._store.reports(self.id, n)] for n in numbers}

    def trial(self, number: int) -> TrialRecord:
        """One trial. Raises UnknownTrial."""
        with self._named(number):
            return self._store.trial(self.id, number)

    @contextmanager
    def _named(self, number: int) -> Iterator[None]:
        """An unknown trial is told by the study's name: the store knows its id alone."""
        try:
            yield
        except UnknownTrial:
            raise UnknownTrial(
                f"study {self.name} has no trial {number}; `celeriac trials {self.name}` lists all"
            ) from None

    def trials(self) -> Any:
        """All trials by number: a pandas DataFrame where pandas is installed, else a list of dicts.

        Parameters are columns `params.<name>`, metrics `metrics.<name>`, scores on the hold-out `holdout.<block>`, from
        0 on.
        """
        rows = [row_of(trial) for trial in self.each_trial()]
        if importlib.util.find_spec("pandas") is None:
            return rows
        import pandas as pd

        return pd.DataFrame(rows)

    def each_trial(self, states: Sequence[TrialState] | None = None) -> Iterator[TrialRecord]:
        """All trials, or those in some states, by number; read page by page."""
        for page in self.pages(states):
            yield from page

    def pages(self, states: Sequence[TrialState] | None = None) -> Iterator[list[TrialRecord]]:
        """The same, page by page."""
        after = -1
        while page := self._store.trials(self.id, states=states, after=after, limit=_PAGE):
            yield page
            after = page[-1].number

    def each_told(self) -> Iterator[tuple[TrialRecord, list[Report]]]:
        """Each trial by number with its reports by step; read page by page."""
        for page in self.pages():
            told = self._store.reports_of(self.id, [each.number for each in page if each.attempts])
            yield from ((each, told.get(each.number, [])) for each in page)

    def export(self, tool: str, out: str | Path = "") -> int:
        """Write it for another tool (`celeriac.report.export.TOOLS`); how many trials it was.

        `out` "": a file or directory named for the study, or where the tool writes by itself. Raises ValueError for an
        unknown tool, ExtraMissing, and CallerError where `out` cannot take it.
        """
        if tool not in TOOLS:
            raise ValueError(f"{tool!r} is none of the tools to export to: {', '.join(TOOLS)}")
        found = Exported(self.record, self.spec, self.each_told())
        return exported(tool, found, str(out) or usual_place(tool, self.name))

    def newest_trials(self, most: int, states: Sequence[TrialState] | None = None) -> list[TrialRecord]:
        """The newest so many trials, or those in some states, by number; read from the newest page back."""
        found: list[TrialRecord] = []
        end, page = self.record.next_number, max(most, _PAGE if states else 0)
        while end > 0 and len(found) < most:
            start = max(end - page, 0)
            trials = self._store.trials(self.id, states=states, after=start - 1, limit=end - start)
            found = [each for each in trials if each.number < end] + found
            end = start
        return found[-most:]

    def best_trials(self, most: int) -> list[TrialRecord]:
        """The best so many scored trials, the best first."""
        scored = [each for each in self.each_trial([TrialState.SCORED]) if each.score is not None]
        return sorted(scored, key=lambda each: each.score or 0.0, reverse=self.record.goal == "maximize")[:most]

    def each_report(self) -> Iterator[dict[str, Any]]:
        """All reports as flat rows, by trial and step: of a step reported twice, the latest attempt's."""
        for trial, told in self.each_told():
            for report in told:
                yield {
                    "trial": trial.number,
                    "step": report.step,
                    "value": report.value,
                    "at": report.at,
                    **{f"metrics.{name}": value for name, value in report.metrics.items()},
                }

    def each_rung_record(self) -> Iterator[RungRecord]:
        """What each trial had at each rung of early stopping, by bracket, rung and place; read page by page.

        `cutoff` is what the study's rule takes there. Raises SpecInvalid when this version cannot read the rule.
        """
        rule, after = stop_rule(self.record.spec), (-1, -1, 0)
        while page := self._store.rung_records(self.id, after=after, limit=_PAGE):
            yield from (replace(each, cutoff=cutoff_of(rule, each)) for each in page)
            after = page[-1].bracket, page[-1].rung, page[-1].place

    def logs(self, number: int) -> str:
        """What the newest attempt of a trial printed last; "" before its first attempt. Raises UnknownTrial."""
        attempts = self._store.attempts(self.id, self.trial(number).number)
        return self._store.log_tail(self.id, number, attempts[-1].number) if attempts else ""

    def wait(self, timeout: float | None = None, *, look: Callable[[], object] = lambda: None) -> "Study":
        """Return once the study is closed; `timeout` in seconds. `look` is called each half second.

        Raises StudyPaused when it waits for a person, TimeoutError when it is not closed in time, and StoreUnavailable
        when Postgres stays away for two minutes; the study itself goes on in these cases.
        """
        until = None if timeout is None else time.monotonic() + timeout
        outage = Outage()
        while True:
            outage.bridged(look)
            record = outage.bridged(lambda: self.record)
            if record is not None and is_settled(record):
                break
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(f"study {self.name} is not closed after {timeout:g} s; it goes on")
            time.sleep(POLL_S if until is None else min(POLL_S, max(until - time.monotonic(), 0.0)))
        if record.state not in CLOSED:
            raise StudyPaused(f"study {self.name} is paused: {record.reason}; then `resume()`")
        return self

    def stop(self, reason: str = "stopped by a user") -> StudyRecord:
        """Close it now: its open trials become CANCELLED, its running ones are killed. Raises IllegalTransition."""
        return self._move(StudyEvent.STOP, reason)

    def pause(self, reason: str = "paused by a user", *, hand_back: bool = False) -> StudyRecord:
        """Start no more trials; those that run go on to their end. Raises IllegalTransition.

        `hand_back`: those of them that have written a checkpoint hand themselves back at their next report, and go on
        from there after a resume.
        """
        record = self._move(StudyEvent.PAUSE, reason)
        if hand_back:
            running = self._store.running_attempts([self.id])
            self._store.preempt([each.token for each in running if each.saved_at is not None], f"paused: {reason}")
        return record

    def resume(self, reason: str = "resumed by a user") -> StudyRecord:
        """Go on after a pause, with the code as it is now (`took_code`: it is another). Raises IllegalTransition."""
        return self._goes_on(self._store.move_study(self.id, StudyEvent.RESUME, reason))

    def cancel(self, number: int, reason: str = "cancelled by a user") -> TrialRecord:
        """End one trial CANCELLED: never retried, never counted. Raises UnknownTrial, IllegalTransition."""
        with self._named(number):
            trial = self._store.cancel_trial(self.id, number, reason)
        self._wake(self.record)
        return trial

    def add_points(self, points: Sequence[Mapping[str, Any]], *, reason: str = "", by: str = "") -> list[TrialRecord]:
        """Add a trial for each of these points, which run before the sampler's own suggestions and teach its model; all
        of them or none. `by`: who proposes them.

        Raises SpaceInvalid, CallerError for more than `proposers` in its file allows now, IllegalTransition.
        """
        added = add_points(self._store, self.id, points, reason=reason, by=by)
        self._wake(self.record)
        return added

    def extend(
        self,
        trials: int | str | None = None,
        *,
        wall: str | float | None = None,
        device_hours: str | float | None = None,
        reason: str = "extended by a user",
    ) -> StudyRecord:
        """Give it a larger budget: `trials` in all, or "+20" more; `device_hours` likewise; `wall` as in a study file.
        A closed study goes on.

        Raises SpecInvalid, and IllegalTransition for fewer trials than it has, or where nothing would change.
        """
        budget = extended(self.record, trials, wall, device_hours)
        return self._goes_on(self._store.extend_study(self.id, budget.to_dict(), reason))

    def reopen(self, reason: str = "reopened by a user") -> StudyRecord:
        """Go on after it was stopped, failed, or ended before its budget. Raises IllegalTransition."""
        record = self.record
        if record.state in CLOSED and (flaw := why_not_reopen(record, device_budgets_of(self._store, record))):
            raise IllegalTransition(flaw)
        return self._goes_on(self._store.move_study(self.id, StudyEvent.REOPEN, reason))

    def retry(
        self, numbers: Sequence[int] | None = None, reason: str = "failed trials are run once more"
    ) -> list[TrialRecord]:
        """Run FAILED trials once more, by default all of them: same number and parameters, a new attempt. A closed
        study goes on.

        Raises UnknownTrial, and IllegalTransition when one is not FAILED; then none is.
        """
        try:
            trials = self._store.retry_trials(self.id, numbers, reason)
        except UnknownTrial as error:
            raise UnknownTrial(str(error).replace(f"study {self.id} ", f"study {self.name} ")) from None
        self._goes_on(self.record)
        return trials

    def advice(self) -> AdviceDecision:
        """Which share of a GPU its trials should have, by what they took and the GPUs that are alive, and how many
        then run at once.
        """
        gpus = [each for each in self._store.devices(alive=True) if each.is_gpu]
        memory = min((each.memory_bytes for each in gpus), default=0)
        return advise(self._store.share_figures(self.id), memory, max((len(each.slots) for each in gpus), default=0))

    def doomed(self) -> Doomed:
        """What `delete` would delete, on this host. Raises IllegalTransition as it does."""
        record = self.record
        if error := not_deletable(record, self.promoted):
            raise error
        files = study_files(self._settings, record.id)
        return Doomed(record.next_number, len(files), sum(path.lstat().st_size for _, path in files))

    def delete(self) -> Dropped:
        """Delete it: first its checkpoints and logs below this host's roots, then all its rows. What was deleted of
        files.

        Raises IllegalTransition while it is open, and when one of its trials became champion.
        """
        if error := not_deletable(self.record, self.promoted):
            raise error
        deleted = delete_files(self._settings, self.id)
        self._store.delete_study(self.id)
        return deleted

    @property
    def promoted(self) -> int | None:
        """The trial of it that became its slice's champion, if one did."""
        schedule = self.record.schedule
        verdicts = self._store.verdicts(schedule, limit=_ALL) if schedule else []
        firing_id = self.record.firing_id
        evidence = (
            each for each in verdicts if each.study_id == self.id or (firing_id and each.firing_id == firing_id)
        )
        return next((each.trial or 0 for each in evidence if each.promoted), None)

    def _goes_on(self, record: StudyRecord) -> StudyRecord:
        """Whoever lets a study go on means the code that is there: a bug was mended, or a directory put back."""
        here = code_here(record, self._settings.code_root)
        self.took_code = bool(here) and not same_code(record.fingerprint, here)
        return self._woken(self._store.take_code(self.id, here) if self.took_code else record)

    def _move(self, event: StudyEvent, reason: str) -> StudyRecord:
        return self._woken(self._store.move_study(self.id, event, reason))

    def _woken(self, record: StudyRecord) -> StudyRecord:
        self._wake(record)
        return record


class Outage:
    """Bears with a store that does not answer for a while: an outage of Postgres is no reason to stop looking."""

    def __init__(self) -> None:
        self._since: float | None = None

    def bridged(self, read: Callable[[], T]) -> T | None:
        """What `read` returns; None while the store is away. Raises StoreUnavailable when that lasts too long."""
        try:
            found = read()
        except StoreUnavailable:
            now = time.monotonic()
            self._since = now if self._since is None else self._since
            if now - self._since > OUTAGE_S:
                raise
            return None
        self._since = None
        return found


def yaml_of(params: Any) -> str:
    """Parameters as YAML, one a line, read alike by YAML 1.1 and 1.2: `1.0e-05` is a number to both, `"on"` a text."""
    return "".join(f"{name}: {_yaml_scalar(value)}\n" for name, value in params.items())


def _yaml_scalar(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _RESERVED:
        return value
    if isinstance(value, float) and "e" in text and "." not in text:
        return text.replace("e", ".0e")
    return text
