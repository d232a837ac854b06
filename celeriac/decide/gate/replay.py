"""A decision as plain values, and the same decision computed again from them: a record that nobody must believe."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from celeriac.decide.gate.decision import decide_gate, open_gate
from celeriac.decide.gate.records import Evidence, GateDecision, GateRules, Pair, Past, Run
from celeriac.domain.guards import parse_guards, write_guards

_VERSION = 1


def write_decision(decision: GateDecision) -> dict[str, Any]:
    """All that went in and came out, as JSON values."""
    rules = asdict(decision.rules) | {"guards": write_guards(decision.rules.guards)}
    return {
        "version": _VERSION,
        "asked": {
            "rules": rules,
            "past": None if decision.past is None else asdict(decision.past),
            "before": asdict(decision.before),
            "level": decision.level if decision.rules.fdr is not None else None,
            "closing": decision.closing,
            "expected_gain": decision.expected_gain,
            "pairs": [
                {"seed": pair.seed, "champion": _run(pair.champion), "challenger": _run(pair.challenger)}
                for pair in decision.pairs
            ],
        },
        "said": {
            "verdict": decision.verdict,
            "wanted": decision.wanted,
            "gain": decision.gain,
            "interval": None if decision.interval is None else list(decision.interval),
            "p": decision.p,
            "level": decision.level,
            "covers_holdout": decision.covers_holdout,
            "reason": decision.reason,
            "evidence": None if decision.evidence is None else asdict(decision.evidence),
            "design": decision.design,
            "looks": [asdict(look) for look in decision.looks],
        },
    }


def recompute(record: Mapping[str, Any]) -> GateDecision:
    """The decision, computed again from what went in. Raises ValueError for a record of another version."""
    if record.get("version") != _VERSION:
        raise ValueError(f"a gate's record of version {record.get('version')!r} cannot be read here; {_VERSION} can")
    asked = record["asked"]
    given = asked["rules"]
    rules = GateRules(**{**given, "guards": parse_guards(given["guards"])})
    past = None if asked["past"] is None else Past(**asked["past"])
    before = Evidence(**asked["before"])
    if not asked["pairs"]:
        return open_gate(rules, past, before=before, level=asked["level"], expected_gain=asked["expected_gain"])
    pairs = [Pair(each["seed"], _read_run(each["champion"]), _read_run(each["challenger"])) for each in asked["pairs"]]
    return decide_gate(pairs, rules, past, before=before, level=asked["level"], closing=asked["closing"])


def _run(run: Run) -> dict[str, Any]:
    return {"score": run.score, "holdout": list(run.holdout), "metrics": dict(run.metrics)}


def _read_run(given: Mapping[str, Any]) -> Run:
    return Run(given["score"], tuple(given["holdout"]), dict(given["metrics"]))
