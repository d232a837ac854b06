"""The gate: is tonight's challenger so surely better than the champion that it takes its place?

opened = open_gate(rules, past, before=evidence, expected_gain=gain)      # how many pairs first, or no test
decided = decide_gate(pairs, rules, past, before=evidence)                # after these pairs
recompute(write_decision(decided)) == decided                             # the record says all
"""

from celeriac.decide.gate.decision import decide_gate, first_pairs, open_gate
from celeriac.decide.gate.fdr import LevelDecision, NightTally, fdr_level
from celeriac.decide.gate.past import pool_past
from celeriac.decide.gate.records import Evidence, GateDecision, GateRules, Look, Pair, Past, Run, Verdict
from celeriac.decide.gate.replay import recompute, write_decision

__all__ = [
    "Evidence",
    "GateDecision",
    "GateRules",
    "LevelDecision",
    "Look",
    "NightTally",
    "Pair",
    "Past",
    "Run",
    "Verdict",
    "decide_gate",
    "fdr_level",
    "first_pairs",
    "open_gate",
    "pool_past",
    "recompute",
    "write_decision",
]
