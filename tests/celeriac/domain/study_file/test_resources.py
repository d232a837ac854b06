"""The key `resources`: what a trial may ask for, how it is told apart from mistakes, and from what nobody runs yet."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.domain.errors import SpecInvalid
from celeriac.domain.records import Resources
from celeriac.domain.records.resources import bytes_of, bytes_text
from celeriac.domain.study_file import form_of_slice, parse, run_plan
from tests.celeriac.domain.study_file.files import SMALL, refused


@pytest.mark.parametrize(
    ("written", "means", "width", "plain"),
    [
        (None, Resources(), 1, True),
        ({"gpus": 1}, Resources(gpus=1), 1, True),
        ({"gpus": 0.25}, Resources(gpus=0.25), 0.25, False),
        ({"gpus": 4}, Resources(gpus=4, least=4), 4, False),
        ({"gpus": {"min": 1, "max": 4}}, Resources(gpus=4, least=1), 4, False),
        ({"gpus": {"min": 2, "max": 2}}, Resources(gpus=2, least=2), 2, False),
        ({"gpus": {"min": 1, "max": 1}}, Resources(gpus=1), 1, True),
        ({"slots": 3}, Resources(slots=3, least=3), 3, False),
        ({"gpus": 0, "slots": {"min": 2, "max": 4}}, Resources(slots=4, least=2), 4, False),
        ({"gpus": 1, "gpu_memory": "6GiB"}, Resources(gpus=1, gpu_memory_bytes=6 * 2**30), 1, False),
        ({"labels": {"region": "eu"}}, Resources(labels={"region": "eu"}), 1, False),
    ],
)
def test_what_a_trial_may_ask_for(written: Any, means: Resources, width: float, plain: bool) -> None:
    spec = parse(SMALL | {"resources": written})
    assert (spec.resources, spec.resources.width, spec.resources.is_plain) == (means, width, plain)
    assert parse(spec.to_dict()) == spec
    assert Resources.read(spec.to_dict()["resources"]) == run_plan(spec.to_dict()).resources == means


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"gpus": -1}, "gpus: must be from 0 to 256"),
        ({"gpus": True}, "gpus: must be a number, such as 1 or 0.25"),
        ({"gpus": "all"}, "gpus: must be a number, such as 1 or 0.25"),
        ({"gpus": 0.001}, "gpus: 0.001: a share of a GPU is 0.01 or more"),
        ({"gpus": 1.5}, "gpus: 1.5: above 1 they are whole GPUs; write 1 or 2"),
        ({"gpus": {"min": 4, "max": 2}}, "gpus.min: is 4, and max is 2"),
        ({"gpus": {"min": 0.5, "max": 2}}, "gpus.min: must be a whole number"),
        ({"gpus": {"max": 2}}, "gpus.min: is missing"),
        ({"slots": 0}, "slots: must be from 1"),
        ({"slots": 2, "gpus": 1}, "slots: are CPU slots, and `gpus` is given too"),
        ({"gpu_memory": "6GiB"}, "gpu_memory: is of a GPU, and the trial asks for none"),
        ({"gpus": 1, "gpu_memory": 6}, "gpu_memory: 6 is less than 1MiB: write its unit"),
        ({"gpus": 1, "gpu_memory": "six"}, "gpu_memory: must be a size such as 6GiB"),
        ({"gpus": 1, "labels": ["h100"]}, "labels: must be a mapping"),
        ({"gpu": 1}, "gpu: is not known here; did you mean 'gpus'?"),
    ],
)
def test_each_mistake_is_told(written: dict[str, Any], says: str) -> None:
    assert refused({"resources": written})[0].startswith(f"file.yaml: resources.{says}")


@pytest.mark.parametrize(
    "written",
    [
        {"gpus": 2, "gpu_memory": "6GiB"},
        {"gpus": {"min": 1, "max": 4}, "gpu_memory": "6GiB", "labels": {"gpu": "h100"}},
        {"slots": 2, "labels": {"region": "eu"}},
    ],
)
def test_a_gang_may_ask_for_memory_and_labels(written: dict[str, Any]) -> None:
    asked = parse(SMALL | {"resources": written}, is_new=True).resources
    assert asked.is_gang
    assert asked.to_dict() == {"gpus": 0, **written}
    assert Resources.read(asked.to_dict()) == asked


def test_a_slice_routes_its_study_to_the_region_s_workers() -> None:
    plan = {"name": "n", "cron": "0 2 * * *", "slices": {"region": ["eu", "us"], "level": [1]}}
    asked = {"labels": {"region": "$region", "gpu": "h100"}}
    small = {key: value for key, value in SMALL.items() if key != "study"}
    spec = parse(small | {"schedule": plan, "resources": asked}, is_new=True)
    made = parse(form_of_slice(spec.to_dict(), {"region": "us", "level": 1}))
    assert made.resources.labels == {"region": "us", "gpu": "h100"}
    listed = [{"region": "eu"}, {"region": "us", "resources": {"labels": {"region": "$region"}}}]
    spec = parse(small | {"schedule": plan | {"slices": listed}}, is_new=True)
    forms = [form_of_slice(spec.to_dict(), {"region": each}) for each in ("eu", "us")]
    assert [dict(parse(each).resources.labels) for each in forms] == [{}, {"region": "us"}]
    with pytest.raises(SpecInvalid, match=r"resources.labels.region: '\$zone' is the value of no slice key"):
        parse(small | {"schedule": plan, "resources": {"labels": {"region": "$zone"}}}, is_new=True)


@given(st.integers(0, 2**50))
def test_a_size_reads_back_as_it_was_written(size: int) -> None:
    assert bytes_of(bytes_text(size)) == bytes_of(size) == size


def test_sizes_have_units_of_two_kinds() -> None:
    assert (bytes_of("1.5 GiB"), bytes_of("500MB"), bytes_of("2KB")) == (3 * 2**29, 500_000_000, 2000)
    assert [bytes_of(each) for each in ("6 gib", "GiB", "-1MB", True, 0.5)] == [None] * 5
