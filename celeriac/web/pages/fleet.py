"""The fleet: each device with what it runs, how it is and what went wrong on it; the line of studies, with reasons."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Form, Request
from starlette.responses import Response

from celeriac.client.busy import busy_slots
from celeriac.client.fleet import names_of
from celeriac.client.waiting import waiting_of_each
from celeriac.decide.waiting import WaitDecision
from celeriac.domain.records import Device, PutAside, StudyState
from celeriac.report.busy import Busy
from celeriac.store import WebStore
from celeriac.store.api_board import Drain, RunNow, SlotFaults, StudyFilter, StudyLine
from celeriac.web.auth.principal import Operator, Reader
from celeriac.web.dependencies import StoreDep
from celeriac.web.pages.drawing import back, page, pages, tagged
from celeriac.web.pages.memory import Kept

router = pages()
#: Faults are told for so long.
FAULTS_H = 24
_MOST_IN_LINE = 40
_NOW = Kept(2.0)


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot of a device: what it runs, how busy it was in the last hour, and why it takes nothing."""

    name: str
    runs: RunNow | None
    busy: Busy | None
    aside: tuple[PutAside, ...]


@dataclass(frozen=True, slots=True)
class DeviceNow:
    """A device and its slots."""

    device: Device
    is_alive: bool
    slots: tuple[Slot, ...]
    faults: Mapping[str, int]
    drain: Drain | None

    @property
    def state(self) -> str:
        """How it is, in a word."""
        if not self.is_alive:
            return "gone"
        return "drained" if self.drain else "ok" if self.device.health in ("", "ok") else "sick"


@dataclass(frozen=True, slots=True)
class Waiting:
    """An open study in the line."""

    study: StudyLine
    line: WaitDecision


@dataclass(frozen=True, slots=True)
class FleetPage:
    """All hosts with their devices, and the line."""

    now: datetime
    hosts: Mapping[str, tuple[DeviceNow, ...]]
    line: tuple[Waiting, ...]
    names: Mapping[int, str]
    drains: tuple[Drain, ...]
    slots: int
    running: int
    alive: int
    faults: int


@page(router, "/fleet", "fleet.html")
def fleet(store: StoreDep) -> FleetPage:
    """The page."""
    return _NOW.get((store,), lambda: _look(store))


@router.get("/fleet/live", response_model=None)
def live(request: Request, store: StoreDep, principal: Reader) -> Response:
    """The part of it that renews."""
    return tagged(request, "fleet_live.html", {"view": fleet(store), "principal": principal})


def _look(store: WebStore) -> FleetPage:
    now, devices = store.now(), store.devices()
    runs = {each.worker: each for each in store.runs_now()}
    busy, asides, drains = busy_slots(store), store.put_asides(), store.drains()
    faults: defaultdict[str, list[SlotFaults]] = defaultdict(list)
    for each in store.faults_on_slots(now - timedelta(hours=FAULTS_H)):
        faults[each.worker].append(each)
    hosts: defaultdict[str, list[DeviceNow]] = defaultdict(list)
    for device in devices:
        slots = [
            Slot(slot, runs.get(slot), busy.get(slot), tuple(each for each in asides if each.worker == slot))
            for slot in device.slots
        ]
        counted: defaultdict[str, int] = defaultdict(int)
        for slot in device.slots:
            for found in faults[slot]:
                counted[str(found.fault)] += found.faults
        hosts[device.host].append(
            DeviceNow(device, device.is_alive(now), tuple(slots), dict(counted), _drain_of(device, drains))
        )
    line = _line(store)
    every = [each for of_host in hosts.values() for each in of_host]
    return FleetPage(
        now=now,
        hosts={host: tuple(found) for host, found in sorted(hosts.items())},
        line=tuple(line),
        names=names_of(store, asides),
        drains=tuple(drains),
        slots=sum(len(each.slots) for each in every if each.is_alive),
        running=len(runs),
        alive=sum(each.is_alive for each in every),
        faults=sum(sum(each.faults.values()) for each in every),
    )


def _drain_of(device: Device, drains: list[Drain]) -> Drain | None:
    """What takes it out: a word on it, by uuid or place, or on its whole host."""
    own = {device.uuid, device.uuid.removeprefix(f"{device.host}-"), ""}
    return next((each for each in drains if each.host == device.host and each.device in own), None)


def _line(store: WebStore) -> list[Waiting]:
    """Open studies, those next in line first."""
    found = store.study_lines(StudyFilter(states=(StudyState.RUNNING, StudyState.OPEN)), _MOST_IN_LINE)
    waits = waiting_of_each(store, [each.id for each in found])
    line = [Waiting(each, waits[each.id]) for each in found]
    return sorted(line, key=lambda each: (each.line.place is None, each.line.place or 0, -each.study.id))


@router.post("/fleet/drain", response_model=None)
def drain(
    store: StoreDep, who: Operator, host: Annotated[str, Form()], device: Annotated[str, Form()] = ""
) -> Response:
    """Take a host, or one device, out: its trials go on elsewhere."""
    store.drain(host, [device] if device else [], who.name)
    _NOW.forget()
    return back("/fleet")


@router.post("/fleet/undrain", response_model=None)
def undrain(
    store: StoreDep, _: Operator, host: Annotated[str, Form()], device: Annotated[str, Form()] = ""
) -> Response:
    """Give it back."""
    store.undrain(host, [device] if device else [])
    _NOW.forget()
    return back("/fleet")
