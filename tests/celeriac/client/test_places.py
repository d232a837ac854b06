"""What people are told of placed trials and of gangs: what each device lacks, where each rank is, who is silent."""

from dataclasses import replace

from celeriac.cli.doctor import gangs_well
from celeriac.cli.text import with_members
from celeriac.cli.waiting import told_of_place
from celeriac.client.fleet import fleet_of
from celeriac.client.progress import Progress, line_of, why_waiting
from celeriac.client.waiting import place_of, waiting_of
from celeriac.domain.records import Device, Resources, StudyState
from celeriac.report.forms import place_form
from celeriac.report.words import part_of
from coordinator.turn import drive_all
from tests.coordinator.house import House, open_study
from tests.coordinator.test_placed_gangs import GIB, begin, empty, host


def elastic(house: House) -> int:
    return open_study(house.store, resources={"gpus": 2, "gpu_memory": "60GiB"}, budget={"trials": 1}).id


def test_why_says_what_each_device_lacks_for_the_next_trial() -> None:
    house = empty()
    host(house, "box", 2, gpu="h100")
    host(house, "old", 1, gpu="a100")
    plain = open_study(house.store, study="plain", resources={"gpus": 0})
    assert place_of(house.store, plain.id) is None
    assert place_form(None) is None
    elastic(house)
    drive_all(house.coordinator)
    wants = {"gpus": 0.5, "gpu_memory": "30GiB", "labels": {"gpu": "h100"}}
    waits = open_study(house.store, study="waits", resources=wants)
    found = place_of(house.store, waits.id)
    assert found is not None
    assert found.reason == "all 2 GPUs that suit it are taken, or have too little left"
    assert part_of(2, 2, Resources(gpus=0.5)) == "2 trials at once on 2 GPUs, each with 0.5"
    assert part_of(1, 3, Resources()) == "1 slot of 3"
    assert list(told_of_place(found, has_next=False)) == []
    told = list(told_of_place(found))
    assert told[1:] == [
        "  box-0 on box: a share of 0 is free, of 0.5",
        "  box-1 on box: a share of 0 is free, of 0.5",
        "  old-0 on old: it has no label gpu=h100",
    ]
    form = place_form(found)
    assert form is not None
    assert form["devices"][2] == {"host": "old", "device": "old-0", "lacks": "it has no label gpu=h100"}
    progress = Progress(house.store.study(waits.id), (), tuple(house.store.devices()), house.store.now())
    stuck = replace(progress, study=replace(progress.study, state=StudyState.RUNNING), no_place=found.reason)
    assert why_waiting(stuck).startswith("all 2 GPUs that suit it are taken, or have too little left (`celeriac why")
    assert "all 2 GPUs" in line_of(stuck)
    line = waiting_of(house.store, waits.id)
    assert (line.reason, line.of) == ("0 of 3 GPUs are busy, and it is number 1 in the line", 2), (
        "of those with its label"
    )
    idle = open_study(house.store, study="idle", resources={"gpus": 1, "labels": {"gpu": "a100"}})
    assert waiting_of(house.store, idle.id).starts_s == 0
    assert waiting_of(house.store, idle.id, "no place").starts_s is None, "an idle GPU is none of its own"
    house.store.put_devices("old", [replace(each, slots=(), health="drained") for each in house.store.devices()[2:]])
    drained = place_of(house.store, idle.id)
    assert drained is not None
    assert ("old", "old-0", "it takes no trials now: drained") in drained.devices
    huge = open_study(house.store, study="huge", resources={"gpus": 0.5, "gpu_memory": "90GiB"})
    found = place_of(house.store, huge.id)
    assert found is not None
    assert "no live GPU" in found.reason
    assert found.devices[0][2] == "it has 80.0 GiB in all, of 90.0 GiB"


def test_ranks_are_shown_and_a_silent_member_is_told() -> None:
    house = empty()
    host(house, "box", 2)
    study_id = elastic(house)
    drive_all(house.coordinator)
    assert gangs_well(house.store).told == "no trial is on several slots"
    leases = begin(house, "box-0", "box-1")
    places = house.store.gang_places(study_id, [0])
    assert with_members("box-0.s0", places) == "0:box-0.s0 1:box-1.s0"
    assert with_members("w", []) == "w"
    assert gangs_well(house.store).told == "1 trial on several slots (2)"
    runs = fleet_of(house.store).runs
    assert [[each.number for each in runs[slot]] for slot in ("box-0.s0", "box-1.s0", "box-1.s1")] == [[0], [0], []]
    house.clock.advance(20.0)
    house.store.gang_beat(leases[0].token, 60.0)
    ill = gangs_well(house.store)
    assert ill.verdict == "warn"
    assert f"study {study_id} trial 0: rank 1 on box-1.s0 was not heard of for 20 s" in ill.told


def test_memory_that_is_free_is_told_of_too() -> None:
    house = empty()
    now = house.store.now()
    slots = tuple(f"a.s{k}" for k in range(4))
    house.store.put_devices("h", [Device("a", "h", "H100", 80 * GIB, {}, slots, "", "ok", now)])
    first = open_study(house.store, resources={"gpus": 0.25, "gpu_memory": "70GiB"}, budget={"trials": 1})
    drive_all(house.coordinator)
    assert house.store.study(first.id).counts.queued == 1
    more = open_study(house.store, study="more", resources={"gpus": 0.25, "gpu_memory": "20GiB"})
    found = place_of(house.store, more.id)
    assert found is not None
    assert found.devices == (("h", "a", "10.0 GiB are free, of 20.0 GiB"),)
