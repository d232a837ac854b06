"""Rows as a busy half year leaves them, written by COPY: one study of 6,000 trials, many small ones, nights of twenty
slices.

All that is random follows from one seed. Reports and rungs are made by the database from the trials.
"""

import json
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from celeriac.domain.study_file import parse

BIG, BIG_TRIALS = "resnet-large", 6_000
NIGHTS, SLICES = 20, 20
NIGHTLY, ALONE = "flights", 99
#: The id of the newest small study, whose trials run beside the big one's.
LAST = NIGHTS * SLICES + ALONE
SMALL_TRIALS = 189
_STEPS, _FEW_STEPS = 27, 5
#: Of a finished study: how its trials ended.
_ENDS = ("SCORED",) * 62 + ("PRUNED",) * 34 + ("FAILED",) * 4

_SPACE = {
    "lr": {"float": [1e-4, 1e-1], "log": True},
    "width": {"int": [16, 256], "log": True},
    "optimizer": {"choice": ["sgd", "adam", "lion"]},
    "momentum": {"float": [0.5, 0.99], "when": {"optimizer": "sgd"}},
    "dropout": {"float": [0.0, 0.6]},
    "weight_decay": {"float": [1e-6, 1e-1], "log": True},
    "batch": {"choice": [32, 64, 128, 256]},
    "layers": {"int": [1, 6]},
}
_DEFAULT = {
    "lr": 0.001,
    "width": 64,
    "optimizer": "adam",
    "dropout": 0.1,
    "weight_decay": 1e-4,
    "batch": 64,
    "layers": 3,
}


@dataclass
class Filled:
    """What was written, for who asks for its pages."""

    studies: int
    trials: int
    reports: int
    now: datetime


def spec_of(name: str, trials: int, schedule: bool = False) -> dict[str, Any]:
    """A valid study's spec, as its row has it."""
    given: dict[str, Any] = {
        "study": name.replace("/", "-").replace("=", "-"),
        "objective": "train:objective",
        "metric": {"name": "accuracy", "goal": "maximize"},
        "space": _SPACE,
        "default": _DEFAULT,
        "sampler": "bayesian",
        "seed": 7,
        "budget": {"trials": trials},
        "stop_early": {"rule": "asha", "min": 1, "max": 27, "eta": 3},
        "parallel": 8,
    }
    if schedule:
        airports = [f"A{number:02d}" for number in range(SLICES)]
        given["schedule"] = {"name": NIGHTLY, "cron": "0 2 * * *", "timezone": "UTC", "slices": {"airport": airports}}
    return parse(given).to_dict()


def fill(url: str, seed: int = 7) -> Filled:
    """Write all of it into an empty, migrated database."""
    dice, now = random.Random(seed), datetime.now(UTC).replace(microsecond=0)
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        studies = list(_studies(now))
        firings = _firings(now, dice)
        _copy(connection, "firing", firings)
        _copy(connection, "study", [_study_row(each, dice) for each in studies])
        for each in studies:
            trials, attempts = _trials(each, dice)
            _copy(connection, "trial", trials)
            _copy(connection, "attempt", attempts)
        for statement in _MADE:
            connection.execute(statement)
        _copy(connection, "schedule", [_schedule(now)])
        _copy(connection, "schedule_slice", _dues(now))
        _copy(connection, "champion", _verdicts(studies, dice))
        _copy(connection, "device", _devices(now))
        connection.execute("VACUUM ANALYZE")
        counts = {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            for table in ("study", "trial", "report")
        }
    found = {name: int(row[0]) if row else 0 for name, row in counts.items()}
    return Filled(found["study"], found["trial"], found["report"], now)


@dataclass
class _Study:
    """One to be written."""

    id: int
    name: str
    trials: int
    state: str
    started_at: datetime
    slice: dict[str, str]
    firing: int | None = None
    best: tuple[int, float] | None = None


def _studies(now: datetime) -> Iterator[_Study]:
    number = 1
    for night in range(NIGHTS):
        due = _due(now, NIGHTS - 1 - night)
        for place in range(SLICES):
            name = f"{NIGHTLY}/airport=A{place:02d}/{due:%Y-%m-%d}"
            yield _Study(number, name, SMALL_TRIALS, "DONE", due, {"airport": f"A{place:02d}"}, firing=number)
            number += 1
    for place in range(ALONE):
        state = ("DONE", "DONE", "STOPPED", "PAUSED", "DONE")[place % 5] if place < ALONE - 6 else "RUNNING"
        yield _Study(number, f"tabular-{place:03d}", SMALL_TRIALS, state, now - timedelta(hours=60 - place / 2), {})
        number += 1
    yield _Study(number, BIG, BIG_TRIALS, "RUNNING", now - timedelta(seconds=18.0 * BIG_TRIALS / 8), {})


def _due(now: datetime, ago: int) -> datetime:
    return now.replace(hour=2, minute=0, second=0) - timedelta(days=ago + (1 if now.hour < 3 else 0))


def _study_row(each: _Study, dice: random.Random) -> dict[str, Any]:
    is_open = each.state in ("RUNNING", "PAUSED")
    return {
        "id": each.id,
        "name": each.name,
        "spec": spec_of(each.name, each.trials, each.firing is not None),
        "goal": "maximize",
        "parallel": 8,
        "state": each.state,
        "reason": _REASONS.get(each.state, "its budget is used"),
        "turn": each.trials * 2,
        "next_number": each.trials,
        "schedule": NIGHTLY if each.firing else None,
        "slice": each.slice,
        "due_at": each.started_at if each.firing else None,
        "created_at": each.started_at,
        "started_at": each.started_at,
        "first_leased_at": each.started_at,
        "ended_at": None if is_open else each.started_at + timedelta(hours=2),
        "firing_id": each.firing,
        "stage": "search" if each.firing else None,
    }


_REASONS = {"PAUSED": "three trials in a row failed alike", "RUNNING": "its first trial was suggested"}


_WHY = {"by": "log expected improvement", "sampler": "bayesian", "seed": 7, "mean": 0.8}


def _trials(each: _Study, dice: random.Random) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    running = 4 if each.name in (BIG, f"tabular-{ALONE - 1:03d}") else 0
    trials, attempts = [], []
    for number in range(each.trials):
        params = _drawn(dice)
        score = _score(params, dice)
        state = "RUNNING" if number >= each.trials - running else "SCORED" if number == 0 else dice.choice(_ENDS)
        begun = each.started_at + timedelta(seconds=18.0 * number / (8 if each.trials > 1000 else 1))
        lasts = timedelta(seconds=20 + 40 * dice.random())
        ended = None if state == "RUNNING" else begun + lasts
        fault = dice.choice(("out_of_memory", "not_finite", "user_bug")) if state == "FAILED" else None
        slot = (number + (each.id == LAST) * 4) % 8
        worker = f"node{slot // 2}/gpu{slot % 2}"
        trials.append(
            {
                "study_id": each.id,
                "number": number,
                "params": _DEFAULT if number == 0 else params,
                "state": state,
                "source": "default" if number == 0 else "suggested",
                "why": {**_WHY, "observed": number},
                "score": score if state == "SCORED" else None,
                "attempts": 1,
                "faults": {fault: 1} if fault else {},
                "fault": fault,
                "detail": "CUDA out of memory" if fault else "",
                "worker": worker,
                "ended_no": None if ended is None else number + 1,
                "created_at": begun,
                "started_at": begun,
                "ended_at": ended,
            }
        )
        outcome = None if ended is None else "fault" if fault else state.lower()
        steps = _STEPS if each.trials > 1000 else _FEW_STEPS
        attempts.append(
            {
                "study_id": each.id,
                "trial": number,
                "number": 1,
                "token": f"{each.id}-{number}",
                "worker": worker,
                "device": f"GPU-{number % 8}",
                "device_kind": "NVIDIA A100",
                "leased_at": begun,
                "lease_s": 30.0,
                "lease_until": datetime.now(UTC) + timedelta(days=1),
                "ended_at": ended,
                "outcome": outcome,
                "fault": fault,
                "device_s": lasts.total_seconds(),
                "last_step": steps if state == "SCORED" else dice.choice((1, 3)) if steps > 3 else 1,
                "last_value": score,
            }
        )
    return trials, attempts


def _drawn(dice: random.Random) -> dict[str, Any]:
    optimizer = dice.choice(("sgd", "adam", "lion"))
    found: dict[str, Any] = {
        "lr": 10 ** dice.uniform(-4, -1),
        "width": round(2 ** dice.uniform(4, 8)),
        "optimizer": optimizer,
        "dropout": dice.uniform(0, 0.6),
        "weight_decay": 10 ** dice.uniform(-6, -1),
        "batch": dice.choice((32, 64, 128, 256)),
        "layers": dice.randint(1, 6),
    }
    return {**found, "momentum": dice.uniform(0.5, 0.99)} if optimizer == "sgd" else found


def _score(params: dict[str, Any], dice: random.Random) -> float:
    off = 0.06 * (math.log10(params["lr"]) + 2.3) ** 2 + 0.1 * (params["dropout"] - 0.2) ** 2
    off += 0.01 * (math.log2(params["width"]) - 7) ** 2 + (0.02 if params["optimizer"] == "lion" else 0.0)
    return float(max(0.05, 0.97 - off - abs(dice.gauss(0, 0.008))))


_FIRING_ENDS = ("KEPT",) * 12 + ("PROMOTED",) * 5 + ("SKIPPED",) * 2 + ("FAILED",)


def _firings(now: datetime, dice: random.Random) -> list[dict[str, Any]]:
    rows, number = [], 1
    for night in range(NIGHTS):
        due = _due(now, NIGHTS - 1 - night)
        for place in range(SLICES):
            state = dice.choice(_FIRING_ENDS)
            reason = {
                "KEPT": "the gain of 0.0011 is not sure enough: p 0.21 of 0.05 allowed",
                "PROMOTED": "better on the hold-out by 0.0094, p 0.002 of 0.05 allowed",
                "SKIPPED": "the champion still scores as it did: nothing is expected to be gained",
                "FAILED": "the data of this night are not there: FileNotFoundError",
            }[state]
            ended = due + timedelta(minutes=40 + 3 * place)
            steps = [
                {"state": "DUE", "at": due.isoformat(), "reason": ""},
                {
                    "state": "SEARCHING",
                    "at": due.isoformat(),
                    "reason": "it pays",
                    "look": {"score": 0.9 + dice.gauss(0, 0.004)},
                },
                {"state": state, "at": ended.isoformat(), "reason": reason},
            ]
            rows.append(
                {
                    "id": number,
                    "name": f"{NIGHTLY}/airport=A{place:02d}/{due:%Y-%m-%d}",
                    "schedule": NIGHTLY,
                    "slice": {"airport": f"A{place:02d}"},
                    "due_at": due,
                    "plan": {},
                    "state": state,
                    "reason": reason,
                    "turn": 3,
                    "fired_at": due,
                    "entered_at": ended,
                    "steps": steps,
                }
            )
            number += 1
    return rows


def _verdicts(studies: Sequence[_Study], dice: random.Random) -> list[dict[str, Any]]:
    """A verdict a night's search, in the line of its slice; the newest of one slice waits for a person."""
    states = random.Random(7)  # as `_firings` drew them
    rows: list[dict[str, Any]] = []
    standing: dict[str, int] = {}
    nights = [each for each in studies if each.firing]
    for place, each in enumerate(nights):
        state = states.choice(_FIRING_ENDS)
        states.gauss(0, 0.004)
        if state not in ("KEPT", "PROMOTED"):
            continue
        where, number = each.slice["airport"], len(rows) + 1
        gain = dice.uniform(0.0045, 0.014) if state == "PROMOTED" else dice.uniform(-0.004, 0.004)
        pairs = [
            {
                "champion": {"holdout": [0.9] * 8, "score": 0.9},
                "challenger": {"holdout": [0.9 + gain] * 8, "score": 0.9},
            }
            for _ in range(6)
        ]
        said = {
            "gain": gain,
            "interval": [gain - 0.004, gain + 0.004],
            "p": 0.002,
            "level": 0.05,
            "covers_holdout": True,
        }
        rows.append(
            {
                "id": number,
                "study_id": each.id,
                "schedule": NIGHTLY,
                "slice": each.slice,
                "study": each.name,
                "trial": 11,
                "params": _drawn(dice),
                "score": 0.91,
                "default_score": 0.88,
                "promoted": state == "PROMOTED",
                "reason": "by the gate",
                "decided_at": each.started_at + timedelta(hours=1),
                "firing_id": each.firing,
                "kind": "night",
                "before_id": standing.get(where),
                "awaits": place == len(nights) - 4,
                "evidence": {
                    "gate": {"asked": {"pairs": pairs}, "said": {**said, "evidence": None}},
                    "challenge": {"incumbent": {"source": "champion"}, "standing": 0, "champion_fails": False},
                },
            }
        )
        if state == "PROMOTED":
            standing[where] = number
    return rows


def _schedule(now: datetime) -> dict[str, Any]:
    spec = spec_of(f"{NIGHTLY}-study", SMALL_TRIALS, True)
    return {
        "name": NIGHTLY,
        "spec": spec,
        "cron": "0 2 * * *",
        "timezone": "UTC",
        "slices": [{"airport": f"A{place:02d}"} for place in range(SLICES)],
        "created_at": now - timedelta(days=NIGHTS),
    }


def _dues(now: datetime) -> list[dict[str, Any]]:
    due = _due(now, -1)
    return [{"schedule": NIGHTLY, "slice": {"airport": f"A{place:02d}"}, "next_due_at": due} for place in range(SLICES)]


def _devices(now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "host": f"node{place // 2}",
            "uuid": f"GPU-{place}",
            "kind": "NVIDIA A100",
            "memory_bytes": 80 * 2**30,
            "labels": {},
            "slots": [f"node{place // 2}/gpu{place % 2}"],
            "health": "ok",
            "heartbeat_at": now,
            "heartbeat_s": 3600.0,
        }
        for place in range(8)
    ]


def _copy(
    connection: "psycopg.Connection[Any]", table: str, rows: Sequence[dict[str, Any]] | Iterable[dict[str, Any]]
) -> None:
    rows = list(rows)
    if not rows:
        return
    columns = list(rows[0])
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([_value(row[name]) for name in columns])


def _value(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (dict, list)) else value


_MADE = (
    """INSERT INTO report (study_id, trial, attempt, step, value, at)
    SELECT a.study_id, a.trial, 1, n, a.last_value * (1 - 0.6 * exp(-n * 6.0 / 27)),
        a.leased_at + n * interval '1 second'
    FROM attempt a, generate_series(1, a.last_step) n""",
    """INSERT INTO rung (study_id, trial, attempt, rung, bracket, place, step, resource, value, loss, cutoff,
        cutoff_place, at)
    SELECT r.study_id, r.trial, 1, r.step, 0, row_number() OVER (PARTITION BY r.study_id, r.step ORDER BY r.trial),
        r.step, r.step, r.value, -r.value, 0.6, 1, r.at
    FROM report r WHERE r.step IN (1, 3, 9)""",
    """INSERT INTO attempt_log (study_id, trial, attempt, tail)
    SELECT a.study_id, a.trial, 1, repeat('epoch 1: loss 0.4312, accuracy 0.8123' || chr(10), 60) FROM attempt a
    WHERE a.trial % 10 = 0""",
    """UPDATE study s SET scored = c.scored, pruned = c.pruned, failed = c.failed, running = c.running,
        device_s = c.trials * 40, ran_s = c.trials * 40, best_number = b.number, best_score = b.score
    FROM (SELECT study_id, count(*) AS trials, count(*) FILTER (WHERE state = 'SCORED') AS scored,
            count(*) FILTER (WHERE state = 'PRUNED') AS pruned, count(*) FILTER (WHERE state = 'FAILED') AS failed,
            count(*) FILTER (WHERE state = 'RUNNING') AS running FROM trial GROUP BY study_id) c,
        LATERAL (SELECT number, score FROM trial WHERE study_id = c.study_id AND state = 'SCORED'
            ORDER BY score DESC, number LIMIT 1) b
    WHERE s.id = c.study_id""",
    """SELECT setval(pg_get_serial_sequence(t, 'id'), 100000) FROM unnest(ARRAY['study', 'firing', 'champion']) t""",
)
