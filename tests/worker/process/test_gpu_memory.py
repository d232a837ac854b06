"""A trial's cap on its GPU's memory, with a stand-in for torch."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from worker.process import gpu_memory

GIB = 2**30


def fake_torch(monkeypatch: pytest.MonkeyPatch, *, available: bool = True, initialized: bool = True) -> list[Any]:
    calls: list[Any] = []
    cuda = SimpleNamespace(
        is_available=lambda: available,
        is_initialized=lambda: initialized,
        get_device_properties=lambda device: SimpleNamespace(total_memory=80 * GIB),
        set_per_process_memory_fraction=lambda fraction, device: calls.append((fraction, device)),
        max_memory_reserved=lambda device: 3 * GIB,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    return calls


def test_the_allocator_is_held_to_the_trial_s_part(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_torch(monkeypatch)
    gpu_memory.cap(20 * GIB)
    assert calls == [(0.25, 0)]
    gpu_memory.cap(0)
    gpu_memory.cap(80 * GIB)
    assert calls == [(0.25, 0)]
    assert gpu_memory.peak_bytes() == 3 * GIB


def test_without_a_gpu_nothing_is_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_torch(monkeypatch, available=False)
    gpu_memory.cap(20 * GIB)
    assert (calls, gpu_memory.peak_bytes()) == ([], 0)
    fake_torch(monkeypatch, initialized=False)
    assert gpu_memory.peak_bytes() == 0
    monkeypatch.delitem(sys.modules, "torch")
    gpu_memory.cap(20 * GIB)
    assert gpu_memory.peak_bytes() == 0
