"""The tasks, in order: each is told in words, done by the tools and by the command, and judged by the rows.

A task may use what earlier ones of the same door left. `p` begins all names of a door. What a way returns is judged by
`holds`, beside the store.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.agents import world
from benchmarks.agents.doors import Command, Tools
from celeriac.client import Client
from celeriac.domain.records import StudyState, TrialState

MOST_CALLS = 3


@dataclass(frozen=True)
class Task:
    """One task. `before`: what the world does first."""

    told: str
    tools: Callable[[Tools, str], Any]
    command: Callable[[Command, str], Any]
    holds: Callable[[Client, str, Any], bool]
    before: Callable[[Path, str], None] = lambda code, p: None


def _mend(code: Path, p: str) -> None:
    (code / f"{p}broken.py").write_text(world.MENDED)


def _ready(code: Path, p: str) -> None:
    (code / "data.ready").touch()


def _submit_wait(do: Tools, p: str) -> Any:
    name = do("submit", file=f"{p}digits.yaml")["study"]
    return do("status", study=name, wait_s=300)["best_params"]


def _submit_watch(do: Command, p: str) -> Any:
    name = do("submit", f"{p}digits.yaml", "--json")["name"]
    do("watch", name)
    return do("best", name, "--json")["params"]


def _own_point_by_tools(do: Tools, p: str) -> Any:
    do("submit", file=f"{p}mine.yaml")
    number = do("add_points", study=f"{p}mine", points=[{"lr": 10**-2.5}], reason="last year's")["trials"][0]
    do("status", study=f"{p}mine", wait_s=10)
    return number


def _own_point_by_command(do: Command, p: str) -> Any:
    do("submit", f"{p}mine.yaml")
    added = do("add-points", f"{p}mine", "--point", f"lr={10**-2.5}", "--reason", "last year's", "--json")
    do("logs", f"{p}mine", added[0]["number"], "--follow")
    return added[0]["number"]


def _broken_by_tools(do: Tools, p: str) -> Any:
    do("submit", file=f"{p}broken.yaml")
    do("status", study=f"{p}broken", wait_s=120)
    said = do("logs", study=f"{p}broken", trial=0)
    return said["lines"] + said.get("traceback", "")  # left out where the lines hold it


def _broken_by_command(do: Command, p: str) -> Any:
    do("submit", f"{p}broken.yaml")
    do("watch", f"{p}broken", ok=(1,))
    return do("logs", f"{p}broken", 0, "--json")["traceback"]


def _retry_by_tools(do: Tools, p: str) -> Any:
    failed = do("trials", study=f"{p}dry", state="failed")["trials"]
    do("stop", study=f"{p}dry", how="retry")
    do("status", study=f"{p}dry", wait_s=120)
    return failed


def _retry_by_command(do: Command, p: str) -> Any:
    failed = do("trials", f"{p}dry", "--state", "failed", "--json")
    do("retry", f"{p}dry")
    do("watch", f"{p}dry")
    return failed


def _cancel_by_tools(do: Tools, p: str) -> Any:
    running = do("status", study=f"{p}long", wait_s=3)["running"][0]["trial"]
    return do("stop", study=f"{p}long", how="cancel", trial=running)["trial"]


def _cancel_by_command(do: Command, p: str) -> Any:
    running = do("status", f"{p}long", "--json")["running"][0]["number"]
    do("cancel", f"{p}long", running)
    return running


def _pause_by_tools(do: Tools, p: str) -> Any:
    paused = do("stop", study=f"{p}long", how="pause", reason="the data moves")["state"]
    return paused, do("stop", study=f"{p}long", how="resume")["state"]


def _pause_by_command(do: Command, p: str) -> Any:
    paused = "PAUSED" if "is PAUSED" in do("pause", f"{p}long", "--reason", "the data moves") else ""
    return paused, "RUNNING" if "RUNNING" in do("resume", f"{p}long") else ""


def _promote_by_tools(do: Tools, p: str) -> Any:
    study = next(iter(do("schedule", name=f"{p}nightly")["newest_night"]))["studies"]["search"]
    do("approve", answer="promote", study=study, trial=0, reason="asked for by a person")
    return do("approve", schedule=f"{p}nightly", answer="rollback", reason="it was a mistake")


def _promote_by_command(do: Command, p: str) -> Any:
    studies = do("schedule", "show", f"{p}nightly", "--json")["firings"][0]["studies"]
    search = next(each["name"] for each in studies if each["stage"] == "search")
    do("promote", search, 0, "--reason", "asked for by a person")
    return do("rollback", f"{p}nightly", "--reason", "it was a mistake")


def _state(client: Client, name: str) -> StudyState:
    return client.study(name).state


def _scored(client: Client, name: str, number: int) -> bool:
    return client.study(name).trial(number).state in (TrialState.SCORED, TrialState.RUNNING)


def _champion(client: Client, p: str) -> Any:
    [found] = client.champions(f"{p}nightly")
    return found


TASKS: tuple[Task, ...] = (
    Task(
        "what is there?",
        lambda do, p: do("status")["slots"],
        lambda do, p: sum(len(each["slots"]) for each in do("status", "--json")["devices"]),
        lambda client, p, said: said == 2,
    ),
    Task(
        "what would digits cost, and what would it try first?",
        lambda do, p: do("submit", file=f"{p}digits.yaml", dry_run=True)["first_points"],
        lambda do, p: do("submit", f"{p}digits.yaml", "--dry-run", "--json")["first_points"],
        lambda client, p, said: len(said) == 5 and f"{p}digits" not in [each.name for each in client.studies()],
    ),
    Task(
        "run digits to its end and name the best parameters",
        _submit_wait,
        _submit_watch,
        lambda client, p, said: (
            _state(client, f"{p}digits") is StudyState.DONE
            and (best := client.study(f"{p}digits").best) is not None
            and abs(best.params["lr"] / said["lr"] - 1) < 1e-4
        ),
    ),
    Task(
        "what would a second study like it cost?",
        lambda do, p: do("submit", file=f"{p}long.yaml", dry_run=True)["cost"]["device_hours"],
        lambda do, p: do("submit", f"{p}long.yaml", "--dry-run", "--json")["cost"]["device_hours"],
        lambda client, p, said: said > 0,
    ),
    Task(
        "the three best trials of digits",
        lambda do, p: [each["trial"] for each in do("trials", study=f"{p}digits", sort="best", limit=3)["trials"]],
        lambda do, p: [
            each["number"]
            for each in sorted(do("trials", f"{p}digits", "--json"), key=lambda each: -(each["score"] or 0))[:3]
        ],
        lambda client, p, said: len(said) == 3 and said[0] == client.study(f"{p}digits").record.best_number,
    ),
    Task(
        "why was trial 1 of digits tried?",
        lambda do, p: do("why", study=f"{p}digits", trial=1)["how"],
        lambda do, p: do("why", f"{p}digits", 1, "--json")["how"],
        lambda client, p, said: "first design" in said,
    ),
    Task(
        "how does trial 1 differ from the default?",
        lambda do, p: do("compare", study=f"{p}digits", trials=[0, 1])["differ"],
        lambda do, p: do("compare", f"{p}digits", 0, 1, "--json")["differ"],
        lambda client, p, said: list(said) == ["lr"],
    ),
    Task(
        "open mine and have last year's point tried",
        _own_point_by_tools,
        _own_point_by_command,
        lambda client, p, said: _scored(client, f"{p}mine", said),
    ),
    Task(
        "stop mine",
        lambda do, p: do("stop", study=f"{p}mine", reason="seen enough"),
        lambda do, p: do("stop", f"{p}mine", "--reason", "seen enough"),
        lambda client, p, said: client.study(f"{p}mine").reason == "seen enough",
    ),
    Task(
        "which of mine and digits is better, and what differs?",
        lambda do, p: do("compare", studies=[f"{p}mine", f"{p}digits"]),
        lambda do, p: do("compare", f"{p}mine", f"{p}digits", "--json"),
        lambda client, p, said: "budget.trials" in said["differ"] and said["best"].startswith(p),
    ),
    Task(
        "run broken; why does it fail?",
        _broken_by_tools,
        _broken_by_command,
        lambda client, p, said: "name 'data' is not defined" in said,
    ),
    Task(
        "its script was mended: go on to the end",
        lambda do, p: (do("stop", study=f"{p}broken", how="resume"), do("status", study=f"{p}broken", wait_s=120)),
        lambda do, p: (do("resume", f"{p}broken"), do("watch", f"{p}broken")),
        lambda client, p, said: _state(client, f"{p}broken") is StudyState.DONE,
        before=_mend,
    ),
    Task(
        "give digits three more trials and wait for them",
        lambda do, p: (
            do("stop", study=f"{p}digits", how="extend", trials="+3"),
            do("status", study=f"{p}digits", wait_s=120),
        ),
        lambda do, p: (do("extend", f"{p}digits", "--trials", "+3"), do("watch", f"{p}digits")),
        lambda client, p, said: client.study(f"{p}digits").record.counts.finished == 15,
    ),
    Task(
        "open dry; which trials fail, and of what class?",
        lambda do, p: (
            do("submit", file=f"{p}dry.yaml"),
            do("status", study=f"{p}dry", wait_s=120),
            do("trials", study=f"{p}dry", state="failed")["trials"][0]["fault"],
        )[2],
        lambda do, p: (
            do("submit", f"{p}dry.yaml"),
            do("watch", f"{p}dry", ok=(0, 1)),
            do("trials", f"{p}dry", "--state", "failed", "--json")[0]["fault"],
        )[2],
        lambda client, p, said: said == "not_finite",
        before=lambda code, p: (code / "data.ready").unlink(missing_ok=True),
    ),
    Task(
        "its data is there now: run the failed trials once more",
        _retry_by_tools,
        _retry_by_command,
        lambda client, p, said: len(said) == 4 and client.study(f"{p}dry").record.counts.scored == 4,
        before=_ready,
    ),
    Task(
        "open long, pause it, let it go on",
        lambda do, p: (do("submit", file=f"{p}long.yaml"), _pause_by_tools(do, p))[1],
        lambda do, p: (do("submit", f"{p}long.yaml"), _pause_by_command(do, p))[1],
        lambda client, p, said: said == ("PAUSED", "RUNNING"),
    ),
    Task(
        "end a trial of long that runs, then the study",
        lambda do, p: (_cancel_by_tools(do, p), do("stop", study=f"{p}long"))[0],
        lambda do, p: (_cancel_by_command(do, p), do("stop", f"{p}long"))[0],
        lambda client, p, said: (
            client.study(f"{p}long").trial(said).state is TrialState.CANCELLED
            and _state(client, f"{p}long") is StudyState.STOPPED
        ),
        before=lambda code, p: None,
    ),
    Task(
        "put nightly into force, run its night now, and wait for its end",
        lambda do, p: (
            do("schedule", what="add", file=f"{p}nightly.yaml"),
            do("schedule", what="fire", name=f"{p}nightly", wait_s=300)["newest_night"][0]["state"],
        )[1],
        lambda do, p: (
            do("schedule", "add", f"{p}nightly.yaml"),
            do("schedule", "fire", f"{p}nightly"),
            do("schedule", "watch", f"{p}nightly").splitlines()[-1],
        )[2],
        lambda client, p, said: "KEPT" in said,
    ),
    Task(
        "what does the morning say, and what waits for a person? approve it",
        lambda do, p: (do("morning", schedule=f"{p}nightly"), do("approve", schedule=f"{p}nightly", reason="good"))[0][
            "mornings"
        ][0]["attention"],
        lambda do, p: (do("morning", f"{p}nightly", "--json"), do("approve", f"{p}nightly", "--reason", "good"))[0][0][
            "attention"
        ],
        lambda client, p, said: len(said) == 1 and _champion(client, p).reason == "good",
    ),
    Task(
        "promote trial 0 of its search by hand, then take that back",
        _promote_by_tools,
        _promote_by_command,
        lambda client, p, said: _champion(client, p).kind == "rollback" and _champion(client, p).trial != 0,
    ),
)
