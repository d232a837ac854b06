"""One night of one slice: what its firing does next, from its first look to its verdict.

decided = tonight(night)      # the next move with its reason, or none: it waits, or is at its end
"""

from celeriac.decide.night.decision import NightDecision, tonight

__all__ = ["NightDecision", "tonight"]
