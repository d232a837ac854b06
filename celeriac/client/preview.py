"""What would a study cost, and what would it try first? Nothing is opened and nothing written.

The cost is known where earlier studies ran the same objective: the mean device time of their finished trials. The first
points are made by the coordinator's own program (`coordinator.suggest.preview`), as the study would get them.
"""

import json
from typing import Any

from celeriac.client.client import Client, SpecLike, read_study
from celeriac.client.coordinator import ask_coordinator
from celeriac.client.remote.client import RemoteClient
from celeriac.domain.errors import UnknownStudy
from celeriac.domain.study_file import StudySpec, difference, parse

FIRST = 5


def preview(
    client: Client | RemoteClient, spec: SpecLike, *, name: str | None = None, first: int = FIRST
) -> dict[str, Any]:
    """Cost, first points, and whether the name is free; over the API the service says so.

    Raises SpecInvalid for a file that `open` would refuse, ExtraMissing where the coordinator is not installed.
    """
    if isinstance(client, RemoteClient):
        return client.preview(spec, name=name, first=first)
    read, base = read_study(spec, name)
    new = client.new_study(read, base)
    return {
        "study": read.study,
        "name_is": _name_is(client, read),
        "trials": read.budget.trials,
        "points_in_space": read.space.cardinality(),
        "sampler": read.sampler,
        "code_root": new.code_root,
        "first_points": first_points(client, read, first),
        "cost": cost_of(client, read),
    }


def first_points(client: Client, spec: StudySpec, count: int = FIRST) -> list[dict[str, Any]]:
    """The first trials' parameters: the default, then what the sampler suggests while it knows no result."""
    found: list[dict[str, Any]] = ask_coordinator(
        client.settings,
        "preview",
        str(min(count, spec.budget.trials)),
        what=f"the preview of {spec.study}",
        given=json.dumps(spec.to_dict()),
    )
    return found


def cost_of(client: Client, spec: StudySpec) -> dict[str, Any]:
    """Device hours and wall time that are to be expected; what they were taken from."""
    known = client.store.known_cost(spec.objective)
    slots = sum(len(each.slots) for each in client.devices() if each.is_gpu or not spec.gpus)
    room = slots // spec.resources.members
    at_once = max(min(spec.at_once or room, room), 1)
    told: dict[str, Any] = {"slots": slots, "at_once": at_once, "from_studies": known.studies}
    if spec.budget.device_hours is not None:
        told["most_device_hours"] = spec.budget.device_hours
    if spec.budget.wall_s is not None:
        told["most_wall_s"] = spec.budget.wall_s
    if not known.trials:
        return {**told, "unknown": f"no trial of {spec.objective} has finished yet: the first ones will tell"}
    trial_s = known.ran_s / known.trials
    return {
        **told,
        "trial_s": trial_s,
        "device_hours": trial_s * spec.budget.trials * spec.resources.width / 3600,
        "wall_s": trial_s * spec.budget.trials / at_once,
    }


def _name_is(client: Client, spec: StudySpec) -> str:
    try:
        record = client.store.study_named(spec.study)
    except UnknownStudy:
        return "free"
    differs = difference(parse(record.spec), spec)
    if not differs:
        return f"taken by the same study, which is {record.state}: it would be attached to"
    return "taken by another spec: " + "; ".join(differs[:5]) + "; give another name"
