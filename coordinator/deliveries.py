"""Makes the deliveries that are due: publishes each promotion, then runs its schedule's hook, at least once.

Rules: a try is claimed before it begins and its end is written after it, so a crash in between means one more try and
never one less; what goes wrong is written down and tried again later; a slice that goes wrong holds up no other.
"""

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from celeriac.decide.deliver import told, wait_s
from celeriac.decide.publication import place_of
from celeriac.domain.errors import CeleriacError, UnknownSchedule
from celeriac.domain.hooks import Hook
from celeriac.domain.records import Delivery, DeliveryKind
from celeriac.domain.study_file import parse
from celeriac.runtime.artefacts import Artefacts
from celeriac.runtime.artefacts.api import version_key
from celeriac.store import Store
from coordinator.hooks import HookFailed, run_hook
from coordinator.publication import publish

log = logging.getLogger(__name__)

#: How long a publication may take before another program may try it too, which does no harm.
PUBLISH_S = 300.0
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Outside:
    """What deliveries need besides the store. `artefacts` opens the root, or says why it cannot be opened; `secret_of`
    gives the secret in a variable of the environment.
    """

    artefacts: Callable[[], Artefacts]
    code_root: Path
    environment: dict[str, str]
    secret_of: Callable[[str], str]
    hook_commands: bool = True


def deliver(store: Store, outside: Outside) -> int:
    """Make all that is due, some at once; how many came through. Raises StoreUnavailable."""
    made = 0
    while due := store.due_deliveries():
        with ThreadPoolExecutor(AT_ONCE) as pool:
            ends = list(pool.map(lambda each: _one(store, outside, each), due))
        made += sum(ends)
        if not any(ends):  # what failed is due later
            break
    return made


def _one(store: Store, outside: Outside, delivery: Delivery) -> bool:
    """One delivery; whether it came through."""
    promotion, kind = delivery.promotion, delivery.kind
    try:
        hook = hook_of(store, delivery.schedule) if kind is DeliveryKind.HOOK else None
        for_s = PUBLISH_S if hook is None else hook.timeout_s + 60.0
        if not store.claim_delivery(promotion, kind, for_s):
            return False
        said = (_publish if kind is DeliveryKind.PUBLISH else partial(_run, hook))(store, outside, delivery)
    except (HookFailed, CeleriacError, OSError) as error:
        again_s = wait_s(delivery.tries + 1)
        log.warning("%s of promotion %d failed, again in %g s: %s", kind, promotion, again_s, error)
        store.end_delivery(promotion, kind, str(error), again_s)
        return False
    log.info("%s of promotion %d of %s: %s", kind, promotion, delivery.schedule, said)
    store.end_delivery(promotion, kind, said)
    return True


def hook_of(store: Store, schedule: str) -> Hook | None:
    """The hook that the schedule has now. Raises SpecInvalid."""
    try:
        plan = parse(store.schedule(schedule).spec, f"schedule {schedule}").schedule
    except UnknownSchedule:
        return None
    return None if plan is None else plan.hook


def _publish(store: Store, outside: Outside, delivery: Delivery) -> str:
    published = publish(outside.artefacts(), store.publication(delivery.promotion))
    return f"{published.path}: {published.reason}"


def _run(hook: Hook | None, store: Store, outside: Outside, delivery: Delivery) -> str:
    if hook is None:
        return "its schedule has no hook"
    if hook.command and not outside.hook_commands:
        raise HookFailed("this coordinator runs no commands: CELERIAC_HOOK_COMMANDS is false; use a url")
    secret = outside.secret_of(hook.secret_env) if hook.secret_env else ""
    if hook.secret_env and not secret:
        raise HookFailed(f"{hook.secret_env} is not set where the coordinator's clock runs: the request is not signed")
    record = store.publication(delivery.promotion)
    artefacts, place = outside.artefacts(), place_of(record.schedule, record.slice)
    address = artefacts.address(version_key(place, record.version))
    payload = told(record, address=address, current=artefacts.current(place))
    root = outside.code_root / store.schedule(delivery.schedule).code_root
    cwd = str(root) if root.is_dir() else os.sep
    return run_hook(hook, payload, secret=secret, environment=outside.environment, cwd=cwd)
