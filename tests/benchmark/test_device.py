"""Which GPU a job takes."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest
import torch

from benchmark import device

UUIDS = ["aa-0", "bb-1"]


@pytest.fixture(autouse=True)
def _two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda d: SimpleNamespace(uuid=UUIDS[d.index]))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda i: (i + 5, 10))


@pytest.mark.parametrize(
    ("said", "free"),
    [
        ("GPU-bb-1, 700\nGPU-cc-2, 9000\nGPU-aa-0, 300\n", [300, 700]),  # in another order, and one that is hidden
        ("GPU-aa-0, [N/A]\nGPU-bb-1, [N/A]\n", [5, 6]),
        ("GPU-aa-0, 300\n", [5, 6]),
        (None, [5, 6]),
    ],
)
def test_free_memory_without_touching_a_gpu(monkeypatch: pytest.MonkeyPatch, said: str | None, free: list[int]) -> None:
    """PyTorch is asked only where `nvidia-smi` cannot say."""

    def run(command: list[str], **options: object) -> SimpleNamespace:
        if said is None:
            raise FileNotFoundError(command[0])
        return SimpleNamespace(stdout=said)

    monkeypatch.setattr(subprocess, "run", run)
    assert device._free_memory(2) == free


def test_the_only_gpu_needs_no_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*args: object, **options: object) -> None:
        raise AssertionError("nobody need be asked")

    monkeypatch.setattr(subprocess, "run", asked)
    assert device._free_memory(1) == [0]
