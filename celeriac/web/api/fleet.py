"""Devices, what they run, the fleet as a whole; taking a host out and giving it back. And who asks."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from celeriac.client.fleet import fleet_of, names_of
from celeriac.web.answers import answer
from celeriac.web.api.arguments import Body
from celeriac.web.auth.principal import Anybody, Operator, Reader
from celeriac.web.dependencies import ClientDep, StoreDep
from celeriac.web.schema import says
from celeriac.web.shapes import DEVICE, DRAINED, FLEET, ME, UNDRAINED

router = APIRouter(tags=["fleet"])
_Word = Annotated[str, Field(min_length=1, max_length=200)]


class Devices(Body):
    """A host, and some of its devices by index or uuid; none: all that it has and will have."""

    host: _Word
    devices: list[_Word] = Field([], max_length=64)


@router.get("/devices", responses=says([DEVICE]))
def devices(_: Reader, store: StoreDep) -> Response:
    """All devices, by host, each with its slots and what they run."""
    return answer(fleet_of(store).forms())


@router.get("/fleet", responses=says(FLEET))
def fleet(_: Reader, store: StoreDep) -> Response:
    """What studies hold of the fleet and could use, what the coordinator last did, and what is put aside."""
    claims = [{"study_id": each.study_id, "claim": each} for each in store.claims()]
    alive, aside = store.devices(alive=True), store.put_asides()
    return answer(
        {
            "slots": sum(len(each.slots) for each in alive),
            "gpu_slots": sum(len(each.slots) for each in alive if each.is_gpu),
            "hosts": sorted({each.host for each in alive}),
            "claims": claims,
            "duties": store.duties(),
            "put_aside": aside,
            "names": names_of(store, aside),
            "drained": {host: store.drained(host) for host in sorted({each.host for each in store.devices()})},
            "now": store.now(),
        }
    )


@router.post("/fleet/drain", responses=says(DRAINED))
def drain(_: Operator, client: ClientDep, body: Devices) -> Response:
    """Take a host, or some of its devices, out: each trial there writes a checkpoint and goes on elsewhere."""
    hosts = client.drain(body.host, body.devices)
    return answer({**body.model_dump(), "known": body.host in hosts, "hosts": hosts})


@router.post("/fleet/undrain", responses=says(UNDRAINED))
def undrain(_: Operator, client: ClientDep, body: Devices) -> Response:
    """Give them back; without devices, all that was taken out of the host."""
    return answer({**body.model_dump(), "given_back": client.undrain(body.host, body.devices)})


@router.get("/me", responses=says(ME))
def me(principal: Anybody, store: StoreDep) -> Response:
    """Who asks, what the token may do, and the service's time."""
    return answer({"name": principal.name, "scopes": sorted(principal.scopes), "now": store.now()})
