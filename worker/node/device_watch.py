"""Which devices of this host take no trials now: those that a person took out, and those that are sick.

Looked at in a thread of its own, as often as the node speaks: a driver that hangs must not hold up the node. It is what
a driver does that has lost its device, so no look for STALE_S is a sign of sickness itself.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence

from celeriac.decide.health import Condition, HealthDecision, health
from celeriac.runtime.settings import Settings
from celeriac.store import Store
from worker.devices.probe import CPU, DeviceInfo, Probe
from worker.devices.simulated import probe_of

log = logging.getLogger(__name__)

STALE_S = 60.0
HANGS = "lost: the driver has not answered for a minute"


class DeviceWatch:
    """The thread, from its making on, and what it saw last."""

    def __init__(
        self, store: Store, settings: Settings, devices: Sequence[DeviceInfo], probe: Probe | None = None
    ) -> None:
        self._store, self._host, self._every_s = store, settings.host, settings.heartbeat_s
        self._devices, self._probe = devices, probe or probe_of(settings.simulated_gpus)
        self._drained: frozenset[str] = frozenset()
        self._health: dict[str, HealthDecision] = {}
        self._conditions: dict[str, Condition] = {}
        self._looked_at = time.monotonic()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="device-watch", daemon=True)
        self._thread.start()

    def out(self, now: float) -> Mapping[str, str]:
        """The devices that take no trials, by uuid, each with the reason. `now` is the monotonic clock."""
        hangs = now - self._looked_at > STALE_S
        found = {}
        for each in self._devices:
            sick = HANGS if hangs and each.kind != CPU else self._health.get(each.uuid, HealthDecision()).reason
            if self._drained & {"", each.uuid, each.kind, str(each.index)}:
                found[each.uuid] = "drained"
            elif sick:
                found[each.uuid] = sick
        return found

    def conditions(self, now: float) -> Mapping[str, Condition]:
        """What the GPUs last said of themselves, by uuid: none that did not answer, or whose driver hangs."""
        return {} if now - self._looked_at > STALE_S else dict(self._conditions)

    def close(self) -> None:
        """Look no more."""
        self._ending.set()

    def look(self) -> None:
        """One look at the drains, and at each GPU."""
        try:
            self._drained = frozenset(self._store.drained(self._host))
        except Exception as error:  # a store that is away: what was drained stays so
            log.debug("drains are not known: %s", error)
        gpus = [each for each in self._devices if each.kind != CPU]
        xids = self._probe.xids() if gpus else {}
        seen: dict[str, Condition] = {}
        for each in gpus:
            before, condition = self._health.get(each.uuid, HealthDecision()), self._probe.condition(each.uuid)
            self._health[each.uuid] = health(condition, before, xids.get(each.uuid, ()))
            seen |= {} if condition is None else {each.uuid: condition}
        self._conditions = seen
        self._looked_at = time.monotonic()

    def _run(self) -> None:
        while not self._ending.wait(self._every_s):
            self.look()
