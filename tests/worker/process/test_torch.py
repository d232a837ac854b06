"""Torch in a forked process: seeds, memory, tensors and the processes of a loader."""

from collections.abc import Callable, Iterator

import pytest

from celeriac.domain.records import Fault
from tests.worker.process.trials import exit_of, made_pool, only, ran
from worker.process.events import Event, Failed, Noted, Returned
from worker.process.frames import Job

TorchRun = Callable[..., list[Event]]


@pytest.fixture(scope="module")
def torch_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorchRun]:
    pytest.importorskip("torch")
    root = str(tmp_path_factory.mktemp("checkpoints"))
    with made_pool() as pool:

        def run(function: str, seed: int = 0, **params: str) -> list[Event]:
            return ran(pool, f"torchy:{function}", Job("digits", 0, 1, params, seed, "cpu", root, "1/0"))

        yield run


def test_torch_is_forked_and_seeded(torch_run: TorchRun) -> None:
    events, again, other = (torch_run("seeded", seed) for seed in (5, 5, 6))
    assert not [event for event in events if isinstance(event, Noted)], "torch and numpy alone can be forked"
    assert only(events, Returned).score == only(again, Returned).score != only(other, Returned).score
    assert only(events, Returned).metrics == only(again, Returned).metrics


@pytest.mark.parametrize(
    ("what", "fault", "says"),
    [
        ("vector", Fault.USER_BUG, "got Tensor"),
        ("large", Fault.OUT_OF_MEMORY, "allocate"),
        ("cuda", Fault.OUT_OF_MEMORY, "CUDA out of memory"),
    ],
)
def test_torchs_own_failures(torch_run: TorchRun, what: str, fault: Fault, says: str) -> None:
    failed = only(torch_run("returned", what=what), Failed)
    assert failed.fault is fault
    assert says in failed.detail


def test_a_tensor_of_no_dimensions_is_a_number(torch_run: TorchRun) -> None:
    assert only(torch_run("returned", what="tensor"), Returned).score == 0.25


def test_a_loaders_processes_do_not_outlive_the_trial(torch_run: TorchRun) -> None:
    events = torch_run("returned", what="loader")
    assert only(events, Returned).score == 1.5
    assert exit_of(events).lost == ""
