"""The outbox: makes the deliveries that are due. Of a promotion, its publication and then its schedule's hook; of a
night, its morning; each at least once.

Rules: a try is claimed before it begins, its claim is renewed while it works, and its end is written after it. So a
crash in between means one more try, CLAIM_S later, and never one less. What goes wrong is written down and tried again
later; a delivery that goes wrong holds up no other.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Thread

from celeriac.decide.deliver import hook_payload, wait_s
from celeriac.decide.publication import place_of
from celeriac.domain.errors import CeleriacError, UnknownSchedule
from celeriac.domain.hooks import Hook
from celeriac.domain.records import Delivery, DeliveryKind
from celeriac.domain.study_file import parse
from celeriac.runtime.artefacts.api import version_key
from celeriac.store import Store
from coordinator.outbox.hook import run_hook
from coordinator.outbox.morning import send_morning
from coordinator.outbox.outside import NotDelivered, Outside
from coordinator.outbox.publish import publish

log = logging.getLogger(__name__)

#: For so long a claim holds, and so often it is renewed: whoever does not renew it is dead, or as good as.
CLAIM_S, RENEW_S = 20.0, 5.0
AT_ONCE = 8


def deliver(store: Store, outside: Outside) -> int:
    """Make all that is due, some at once; how many came through. Raises StoreUnavailable.

    Promotions go first, for a morning tells what has come through.
    """
    return _deliver(store, outside, {DeliveryKind.PUBLISH, DeliveryKind.HOOK}) + _deliver(
        store, outside, {DeliveryKind.MORNING}
    )


def _deliver(store: Store, outside: Outside, kinds: set[DeliveryKind]) -> int:
    made = 0
    while due := [each for each in store.due_deliveries() if each.kind in kinds]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            ends = list(pool.map(lambda each: _one(store, outside, each), due))
        made += sum(ends)
        if not any(ends):  # what failed is due later
            break
    return made


def _one(store: Store, outside: Outside, delivery: Delivery) -> bool:
    """One delivery; whether it came through."""
    number = store.claim_delivery(delivery.id, CLAIM_S)
    if not number:
        return False
    try:
        with _kept(store, delivery, number):
            said, again_s = _HOW[delivery.kind](store, outside, delivery), None
    except (NotDelivered, CeleriacError, OSError) as error:
        said, again_s = str(error), getattr(error, "again_s", None) or wait_s(number)
    is_over = again_s is None
    level, end = (logging.INFO, "") if is_over else (logging.WARNING, f" failed, again in {again_s:g} s")
    about = f"promotion {delivery.promotion}" if delivery.promotion else f"night {delivery.night}"
    log.log(level, "%s of %s of %s%s: %s", delivery.kind, about, delivery.schedule, end, said)
    store.end_delivery(delivery.id, number, said, again_s)
    return is_over


@contextmanager
def _kept(store: Store, delivery: Delivery, number: int) -> Iterator[None]:
    """The claim, renewed for the block."""
    is_over = Event()

    def renew() -> None:
        while not is_over.wait(RENEW_S):
            try:
                store.renew_delivery(delivery.id, number, CLAIM_S)
            except CeleriacError as error:
                log.warning("%s of %s: its claim is not renewed: %s", delivery.kind, delivery.schedule, error)

    renewing = Thread(target=renew, name="renewing a claim", daemon=True)
    renewing.start()
    try:
        yield
    finally:
        is_over.set()
        renewing.join()


def hook_of(store: Store, schedule: str) -> Hook | None:
    """The hook that the schedule has now. Raises SpecInvalid."""
    try:
        plan = parse(store.schedule(schedule).spec, f"schedule {schedule}").schedule
    except UnknownSchedule:
        return None
    return None if plan is None else plan.hook


def _publish(store: Store, outside: Outside, delivery: Delivery) -> str:
    published = publish(outside.artefacts(), store.publication(delivery.promotion or 0))
    return f"{published.path}: {published.reason}"


def _hook(store: Store, outside: Outside, delivery: Delivery) -> str:
    hook = hook_of(store, delivery.schedule)
    if hook is None:
        return "its schedule has no hook"
    if hook.command and not outside.hook_commands:
        raise NotDelivered("this coordinator runs no commands: CELERIAC_HOOK_COMMANDS is false; use a url")
    secret = outside.secret(hook.secret_env)
    record = store.publication(delivery.promotion or 0)
    artefacts, place = outside.artefacts(), place_of(record.schedule, record.slice)
    address = artefacts.address(version_key(place, record.version))
    payload = hook_payload(record, address=address, current=artefacts.current(place))
    root = outside.code_root / store.schedule(delivery.schedule).code_root
    cwd = str(root) if root.is_dir() else os.sep
    return run_hook(hook, payload, secret=secret, environment=outside.environment, cwd=cwd)


_HOW: Mapping[DeliveryKind, Callable[[Store, Outside, Delivery], str]] = {
    DeliveryKind.PUBLISH: _publish,
    DeliveryKind.HOOK: _hook,
    DeliveryKind.MORNING: send_morning,
}
