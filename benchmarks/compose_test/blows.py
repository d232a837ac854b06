"""A study from submit to champion, while one program after the other is stopped, killed, frozen or cut off."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.compose_test.project import PSQL, START_S, STOP_S, STUDY, Project, demand, step
from benchmarks.compose_test.start import RESTART_S, SLOTS, TRIALS, await_healthy

STUDY_S = 900.0
CUT_S, AFTER_CUT_S, TOLD_S = 60.0, 30.0, 60.0


def strike(project: Project) -> None:
    """A study from submit to champion, while one program after the other is struck."""
    with step(f"submit {STUDY}: {TRIALS} trials on {SLOTS} slots"):
        project._output(project.cli("submit", f"/code/{STUDY}/study.yaml"), START_S)
    blows = [
        (4, "cut the coordinator off from the network", cut_off),
        (9, "freeze what does the coordinator's work", freeze),
        (14, "stop the worker in order", stop_in_order),
        (18, "kill the worker's container", kill_worker),
        (22, "kill the coordinator's program", kill_coordinator),
        (26, "stop Postgres in order", stop_postgres),
    ]
    with step("wait for its champion"), project.follow(project.cli("watch", STUDY), STUDY_S) as watched:
        for line in watched.lines():
            print(f"    {line}", flush=True)
            finished = re.search(rf"{STUDY} RUNNING: (\d+)/{TRIALS} finished", line)
            while finished and blows and int(finished[1]) >= blows[0][0]:
                _, name, blow = blows.pop(0)
                with step(f"    {name}"):
                    blow(project)
        code = watched.ended()
    demand(code == 0, f"`celeriac watch` ends with the champion, not with exit code {code}")
    demand(not blows, f"the study still ran when it was to be struck: {[name for _, name, _ in blows]}")


def cut_off(project: Project) -> None:
    """What a broken switch does, in the middle of a turn: a session is left behind that holds the study's lock."""
    (coordinator, network), lost = network_of(project, "coordinator"), lost_attempts(project)
    waiting = f"FROM trial t JOIN study s ON s.id = t.study_id WHERE s.name = '{STUDY}' AND t.state = 'WAITING'"
    await_sql(project, f"SELECT count(*) {waiting}", lambda said: said != "0", START_S, "a trial waits")
    # The next turn that takes one of them stands still inside itself; workers, who touch none of these rows, go on.
    with holding(project, f"SELECT count(*) FROM (SELECT 1 {waiting} FOR UPDATE OF t) AS held"):
        waits = (
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'celeriac_coordinator' AND wait_event_type = 'Lock' "
            f"AND client_addr = '{project.address('coordinator')}'"
        )
        await_sql(project, waits, lambda said: said != "0", START_S, "the coordinator is inside a turn")
        project.docker("network", "disconnect", network, coordinator)
    ((held,),) = project.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
    demand(held != "0", "the session that was cut off holds the study's lock")
    time.sleep(CUT_S)  # the length of the fault itself
    told = {each["name"]: each["verdict"] for each in project.asked("doctor", codes=(0, 1))}
    demand(told["coordinator drive"] == "fail", f"`celeriac doctor` tells that nobody drives: {told}")
    ((queued,),) = project.sql("SELECT count(*) FROM trial WHERE state = 'QUEUED'")
    demand(queued == "0", "whoever begins a trial after the cut has it from the coordinator")
    ((healed_at,),) = project.sql("SELECT clock_timestamp()")
    project.docker("network", "connect", network, coordinator)
    after = f"SELECT extract(epoch FROM min(leased_at) - '{healed_at}') FROM attempt WHERE leased_at > '{healed_at}'"
    first = await_sql(project, after, bool, AFTER_CUT_S + 10, "a trial is leased after the cut")
    demand(float(first) <= AFTER_CUT_S, f"within {AFTER_CUT_S:g} s after the cut a trial begins, not after {first} s")
    demand(lost_attempts(project) == lost, "no attempt was lost by the cut")
    print(f"        cut off for {CUT_S:g} s; the next trial began {float(first):.1f} s after")


def freeze(project: Project) -> None:
    """It answers pings and does nothing, as a program that hangs does: it is told, and started again by itself."""
    began = time.monotonic()
    freezing = "import psutil; [each.suspend() for each in psutil.Process(1).children()[0].children()]"
    with project.follow(project.events("event=start"), START_S) as events:
        project.docker("exec", project.container("coordinator"), "python", "-c", freezing)
        verdict = ""
        while verdict != "fail" and time.monotonic() - began < TOLD_S:
            told = {each["name"]: each["verdict"] for each in project.asked("doctor", codes=(0, 1))}
            verdict = told["coordinator drive"]
        demand(verdict == "fail", f"`celeriac doctor` tells of it within {TOLD_S:g} s")
        told_s = time.monotonic() - began
        again = any(line == "coordinator start" for line in events.lines())
    demand(again, f"a program without work for {RESTART_S} s is started again")
    print(f"        told after {told_s:.0f} s, started again after {time.monotonic() - began:.0f} s")


def stop_postgres(project: Project) -> None:
    """A reboot, or an upgrade: Postgres is told, writes what it has, and needs no recovery when it is back."""
    project.up("stop", "postgres", timeout_s=STOP_S)
    state = project.inspected("postgres")["State"]
    demand(state["ExitCode"] == 0, f"Postgres ends with 0, not {state['ExitCode']}")
    stopped = project.logs("postgres")
    demand("database system is shut down" in stopped, "Postgres logs a clean shutdown")
    with project.follow(project.events("event=health_status"), START_S) as events:
        project.up("start", "postgres")
        await_healthy(events, {"postgres"})
    said = project.logs("postgres")[len(stopped) :]
    demand("database system was shut down at" in said, f"it starts from a clean shutdown:\n{said}")
    demand("not properly shut down" not in said and "interrupted" not in said, f"without recovery:\n{said}")


def network_of(project: Project, service: str) -> tuple[str, str]:
    """A service's container, and the network it is in."""
    (name,) = project.inspected(service)["NetworkSettings"]["Networks"]
    return project.container(service), str(name)


def lost_attempts(project: Project) -> int:
    """How many attempts ended for a reason that is not their own."""
    return int(project.sql("SELECT count(*) FROM attempt WHERE fault = 'infrastructure'")[0][0])


@contextmanager
def holding(project: Project, lock: str) -> Iterator[None]:
    """A transaction of the owner's that holds what this statement locks."""
    command = ["docker", "exec", "-i", project.container("postgres"), *PSQL]
    with subprocess.Popen(
        command, env=project.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as session:
        assert session.stdin is not None
        assert session.stdout is not None
        session.stdin.write(f"BEGIN;\n{lock};\n")
        session.stdin.flush()
        demand(bool(session.stdout.readline()), f"somebody else holds: {lock}")
        try:
            yield
        finally:
            session.stdin.close()  # the session ends, and its transaction with it


def await_sql(project: Project, query: str, enough: Callable[[str], bool], within_s: float, what: str) -> str:
    """Ask until the one value that comes is enough."""
    deadline = time.monotonic() + within_s
    while True:
        ((said,),) = project.sql(query)
        if enough(said):
            return said
        demand(time.monotonic() < deadline, f"within {within_s:g} s {what}")
        time.sleep(0.2)


def stop_in_order(project: Project) -> None:
    """What a drained host does: TERM, the trials are handed back within the grace, the worker comes back later."""
    # Both slots may have ended their trials just now, and then nothing would be there to hand back.
    begun = "SELECT count(*) FROM attempt WHERE ended_at IS NULL AND leased_at > clock_timestamp() - interval '0.5 s'"
    await_sql(project, begun, lambda said: said != "0", START_S, "a trial has just begun")
    project.up("stop", "worker-cpu", timeout_s=STOP_S)
    state = project.inspected("worker-cpu")["State"]
    demand(state["ExitCode"] == 0, f"a worker that is stopped in order ends with 0, not {state['ExitCode']}")
    project.up("start", "worker-cpu")


def kill_worker(project: Project) -> None:
    """What a power cut does to a worker's host, until somebody switches it on again."""
    project.docker("kill", "-s", "KILL", project.container("worker-cpu"))
    project.up("up", "-d", "--no-deps", "worker-cpu")


def kill_coordinator(project: Project) -> None:
    """Its main program dies; the engine starts the container again by itself."""
    with project.follow(project.events("event=start"), START_S) as events:
        killing = "import os, psutil; psutil.Process(1).children()[0].kill()"
        project.docker("exec", "-d", project.container("coordinator"), "python", "-c", killing)
        demand("coordinator start" in events.lines(), "the coordinator's container is started again by the engine")


def judge(project: Project) -> None:
    """Exactly the budget finished, none scored twice, the interrupted ones ran again; the champion is the best."""
    trials = project.asked("trials", STUDY, "--limit", "0")
    finished = [each for each in trials if each["state"] in ("SCORED", "PRUNED", "FAILED")]
    demand(
        len(finished) == TRIALS == len(trials),
        f"exactly {TRIALS} trials finished, not {len(finished)} of {len(trials)}",
    )
    scored = [sum(run["outcome"] == "scored" for run in each["runs"]) for each in trials]
    demand(max(scored) == 1, "no trial was scored twice")
    released = [each["number"] for each in trials for run in each["runs"] if run["outcome"] == "released"]
    # Often the very trials that were handed back before: their attempts tell the two apart.
    lost = [each for each in trials if any(run["fault"] == "infrastructure" for run in each["runs"])]
    again = [each["number"] for each in lost]
    demand(bool(released), "trials of the stopped worker were handed back")
    demand(bool(lost), "attempts of the killed worker ended as lost to the infrastructure")
    states = {each["number"]: each["state"] for each in lost}
    demand(set(states.values()) == {"SCORED"}, f"their trials ran again and came through: {states}")
    best = project.asked("best", STUDY)
    demand(
        best["score"] == max(each["score"] for each in trials if each["score"] is not None),
        "the champion is the best trial",
    )
    print(
        f"    {len(finished)} finished; handed back {released}, run again {again}; "
        f"best {best['score']:.4f} (trial {best['number']})"
    )
