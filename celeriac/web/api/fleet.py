"""Devices and what they run."""

from typing import Any

from fastapi import APIRouter, Request

from celeriac.client.busy import busy_slots
from celeriac.client.forms import device_form
from celeriac.store import WebStore
from celeriac.web.auth.principal import Reader

router = APIRouter(tags=["fleet"])


@router.get("/devices")
def devices(request: Request, _: Reader) -> list[dict[str, Any]]:
    """All devices, by host, each with its slots and what they run."""
    store: WebStore = request.app.state.store
    found, now = store.devices(), store.now()
    runs = {slot: store.open_attempts_of(slot) for each in found for slot in each.slots}
    aside, busy = store.put_asides(), busy_slots(store)
    return [device_form(each, runs, aside, busy, alive=each.is_alive(now)) for each in found]
