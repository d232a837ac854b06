"""The server: twelve tools, each a thin function over the client, and one page of rules.

Rules: a tool answers with one compact JSON text; what the caller did wrong, or what is away, comes back as the error's
own words, which name the next step; anything else is a crash, logged here and not told. One client serves all calls;
when the store went away it is opened anew at the next call, so an embedded stack may be started meanwhile.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

from celeriac import __version__
from celeriac.client import Client
from celeriac.client.embedded import attached
from celeriac.domain.errors import CeleriacError, DuplicateStudy, StoreUnavailable
from celeriac.mcp import nights as of_nights
from celeriac.mcp import studies as of_studies
from celeriac.mcp import trials as of_trials
from celeriac.mcp.answers import MOST_WAIT_S, small
from celeriac.runtime.settings import Settings

INSTRUCTIONS = """Celeriac tunes hyperparameters: a *study* runs *trials* of an objective on workers, and suggests their
parameters; a *schedule* runs a study every night for each *slice* and promotes a *champion* only on evidence.
Names are ids: study names, trial numbers, schedule names and slices ("region=eu") of any answer are arguments of the
next call. Begin with status(). submit(dry_run=true) tells cost and first points. status(study, wait_s=300) waits for
the end: do not poll. A budget of N means exactly N finished trials. An error names the next step."""

READS = ToolAnnotations(read_only_hint=True)
Name = Annotated[str, Field(description="name of the study")]
AnyStudy = Annotated[str, Field(description="name of the study; empty: all")]
OneTrial = Annotated[int | None, Field(description="number of one trial")]
Limit = Annotated[int, Field(ge=1, le=200, description="at most so many, the count of all is told")]
Slice = Annotated[str, Field(description='the slice, such as "airport=JFK"; may be empty where there is one')]
Reason = Annotated[str, Field(description="why; it is kept")]


class Door:
    """The client of all calls."""

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings, self._lock, self._held = settings, Lock(), ExitStack()
        self._client: Client | None = None

    @contextmanager
    def client(self) -> Iterator[Client]:
        """For one call; a client whose store went away is not used again."""
        opened = self._opened()
        try:
            yield opened
        except StoreUnavailable:
            self.close()
            raise

    def _opened(self) -> Client:
        with self._lock:
            if self._client is None:
                settings = self._settings()
                if not settings.url and settings.stack_file.exists():
                    self._held.enter_context(attached(settings))
                self._client = self._held.enter_context(Client(settings))
                self._client.store.check_schema()
            return self._client

    def close(self) -> None:
        """Give the connections back."""
        with self._lock:
            self._client = None
            self._held.close()


def answered(door: Door, ask: Callable[[Client], Mapping[str, Any]]) -> str:
    """The answer as compact JSON. Raises ToolError with the words of an expected error."""
    try:
        with door.client() as client:
            return json.dumps(small(ask(client)), ensure_ascii=False, separators=(",", ":"))
    except DuplicateStudy as error:
        raise ToolError("\n".join([str(error), *error.difference])) from error
    except (CeleriacError, ValueError) as error:
        raise ToolError(str(error)) from error


def serve(home: Path | None) -> None:
    """Serve on stdin and stdout until the client hangs up: over the API, where `CELERIAC_URL` names it and no home was
    given.
    """
    door = Door(lambda: Settings.from_env(home=home))
    try:
        server_of(door).run("stdio")
    finally:
        door.close()


def server_of(door: Door) -> MCPServer:
    """The server with its tools."""
    server = MCPServer("celeriac", version=__version__, instructions=INSTRUCTIONS, log_level="WARNING")
    _study_tools(server, door)
    _trial_tools(server, door)
    _night_tools(server, door)
    return server


def _study_tools(server: MCPServer, door: Door) -> None:
    @server.tool(structured_output=False)
    def submit(
        file: Annotated[
            str, Field(description="path of a study file (YAML), absolute or below the server's directory")
        ] = "",
        spec: Annotated[dict[str, Any] | None, Field(description="the study file as an object, instead")] = None,
        name: Annotated[str, Field(description="call the study this, instead")] = "",
        dry_run: Annotated[bool, Field(description="open nothing: tell its cost and its first points")] = False,
    ) -> str:
        """Open a study (or attach to the same one), or with dry_run say what it would cost and try first."""
        return answered(door, lambda client: of_studies.submit(client, file, spec, name, dry_run))

    @server.tool(structured_output=False, annotations=READS)
    def status(
        study: AnyStudy = "",
        wait_s: Annotated[float, Field(ge=0, le=MOST_WAIT_S, description="wait so long for its end")] = 0.0,
        limit: Limit = 10,
    ) -> str:
        """All studies, slots and schedules; or one study: state, best, what runs, why nothing does. Can wait."""
        return answered(door, lambda client: of_studies.status(client, study, wait_s, limit))

    @server.tool(structured_output=False, annotations=READS)
    def why(study: Name, trial: OneTrial = None) -> str:
        """Why a study waits and when it goes on; or how a trial's parameters were found and how it turned out."""
        return answered(door, lambda client: of_studies.why(client, study, trial))

    @server.tool(structured_output=False)
    def add_points(
        study: Name,
        points: Annotated[list[dict[str, Any]], Field(description="each a value for every parameter of the space")],
        reason: Reason = "",
        by: Annotated[str, Field(description="who proposes them, kept with each trial")] = "an agent",
    ) -> str:
        """Have points of your own tried next; the model learns from them. Too many are refused, with how many may."""
        return answered(door, lambda client: of_studies.add_points(client, study, points, reason, by))

    @server.tool(structured_output=False, annotations=ToolAnnotations(destructive_hint=True))
    def stop(
        study: Name,
        how: Annotated[of_studies.How, Field(description="cancel and retry are for a trial")] = "stop",
        trial: OneTrial = None,
        trials: Annotated[str, Field(description="for extend: '+20' more, or '80' in all")] = "",
        reason: Reason = "",
    ) -> str:
        """Stop, pause, resume, extend or reopen a study; cancel one trial, or retry one or all failed ones."""
        return answered(door, lambda client: of_studies.stop(client, study, how, trial, trials, reason))


def _trial_tools(server: MCPServer, door: Door) -> None:
    @server.tool(name="trials", structured_output=False, annotations=READS)
    def list_trials(
        study: Name,
        trial: Annotated[int | None, Field(description="one trial: its attempts, metrics and curve")] = None,
        state: Annotated[str, Field(description="only in this state, such as FAILED")] = "",
        sort: Annotated[of_trials.Sort, Field(description="newest, or best score first")] = "newest",
        limit: Limit = 10,
    ) -> str:
        """A study's trials with parameters, score, fault and what to do about it; or one trial in full."""
        return answered(door, lambda client: of_trials.trials(client, study, trial, state, sort, limit))

    @server.tool(name="compare", structured_output=False, annotations=READS)
    def compare_(
        study: Annotated[str, Field(description="the study whose trials are compared")] = "",
        trials: Annotated[list[int] | None, Field(description="two or more of its trials")] = None,
        studies: Annotated[list[str] | None, Field(description="or two or more studies")] = None,
    ) -> str:
        """Trials of a study, or studies, beside each other: scores, which parameters differ, which are the same."""
        return answered(door, lambda client: of_trials.compare(client, study, trials or [], studies or []))

    @server.tool(structured_output=False, annotations=READS)
    def logs(
        study: Name,
        trial: Annotated[int, Field(ge=0, description="the trial's number")],
        attempt: Annotated[int | None, Field(description="which attempt; else the newest")] = None,
        lines: Annotated[int, Field(ge=1, le=400, description="so many of the last lines")] = 40,
    ) -> str:
        """The end of what a trial printed, and its traceback, from whichever host."""
        return answered(door, lambda client: of_trials.logs(client, study, trial, attempt, lines))


def _night_tools(server: MCPServer, door: Door) -> None:
    @server.tool(structured_output=False, annotations=READS)
    def morning(
        schedule: Annotated[str, Field(description="one schedule; empty: all")] = "",
        night: Annotated[str, Field(description="a night by its date, such as 2026-11-24; empty: the newest")] = "",
    ) -> str:
        """What the last night changed, why, how sure that is, what it cost, and what a person should look at."""
        return answered(door, lambda client: of_nights.morning(client, schedule, night))

    @server.tool(structured_output=False)
    def schedule(
        what: of_nights.What = "show",
        name: Annotated[str, Field(description="the schedule's name; empty with show: all")] = "",
        file: Annotated[str, Field(description="for add and replace: path of a schedule file")] = "",
        due: Annotated[str, Field(description="for fire: a due time with offset; empty: now")] = "",
        slice: Slice = "",
        reason: Reason = "",
        wait_s: Annotated[
            float, Field(ge=0, le=MOST_WAIT_S, description="wait so long for the newest night's end")
        ] = 0.0,
        limit: Limit = 10,
    ) -> str:
        """Studies that run by the clock: show, add, replace, fire now, pause, resume, remove, or next due times."""
        return answered(
            door, lambda client: of_nights.schedule(client, what, name, file, due, slice, reason, wait_s, limit)
        )

    @server.tool(structured_output=False, annotations=READS)
    def champion(
        schedule: Annotated[str, Field(description="one schedule; empty: all")] = "",
        slice: Slice = "",
        history: Annotated[
            bool, Field(description="every verdict, newest first, also those that kept the old")
        ] = False,
        limit: Limit = 10,
    ) -> str:
        """The champion of each slice with parameters and evidence, and what waits for approval; or all verdicts."""
        return answered(door, lambda client: of_nights.champion(client, schedule, slice, history, limit))

    @server.tool(structured_output=False, annotations=ToolAnnotations(destructive_hint=True))
    def approve(
        schedule: Annotated[str, Field(description="the schedule's name; for promote it follows from the study")] = "",
        slice: Slice = "",
        answer: Annotated[
            of_nights.Answer, Field(description="promote: a trial by hand; rollback: the one before")
        ] = "approve",
        reason: Reason = "",
        study: Annotated[str, Field(description="for promote")] = "",
        trial: OneTrial = None,
        to: Annotated[int | None, Field(description="for rollback: the id of an earlier champion")] = None,
    ) -> str:
        """Approve or reject what waits for a person, promote a trial by hand, or roll a champion back."""
        return answered(
            door, lambda client: of_nights.approve(client, schedule, slice, answer, reason, study, trial, to)
        )
