"""Choose the device of a job, and reserve it for timed runs."""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmark.errors import BenchmarkError


def find_device(name: str, *, cpu_only: bool = False) -> torch.device:
    """Return the device with a name: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:N".

    If there are several GPUs, "auto" and "cuda" choose the one with the most free memory. Jobs that start at the same
    time choose one after the other, each after the previous one has allocated memory on its GPU.

    cpu_only: whether the model can only be trained on the CPU, like a forest.

    Raises BenchmarkError if there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() and not cpu_only else "cpu"
    try:
        device = torch.device(str(name))
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise BenchmarkError(f"device={name} is unknown; valid: auto, cpu, cuda, cuda:0, cuda:1, ...")
    if device.type != "cpu" and cpu_only:
        raise BenchmarkError(f"device={name}: this model is trained on the CPU; use device=cpu or auto")
    n_gpus = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= n_gpus:
        raise BenchmarkError(f"device={name}: this machine has {n_gpus} CUDA device(s); use device=cpu or auto")
    return _freest_gpu() if device.type == "cuda" and device.index is None else device


def _freest_gpu() -> torch.device:
    with _flock("gpu-choice", fcntl.LOCK_EX):
        free = _free_memory(torch.cuda.device_count())
        device = torch.device("cuda", free.index(max(free)))
        torch.zeros(1, device=device)  # from now on this process uses memory there, and the next process sees that
    return device


def _free_memory(n_gpus: int) -> list[int]:
    """Free memory of each GPU, asked of `nvidia-smi`: PyTorch would first take some hundred MiB of each."""
    if n_gpus == 1:
        return [0]
    query = ["nvidia-smi", "--query-gpu=uuid,memory.free", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()
        free = {uuid.removeprefix("GPU-"): int(amount) for uuid, amount in (line.split(", ") for line in lines)}
        return [free[_physical_name(torch.device("cuda", i)).removeprefix("GPU-")] for i in range(n_gpus)]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):  # it is missing, or GPUs are shared in parts
        return [torch.cuda.mem_get_info(i)[0] for i in range(n_gpus)]


def is_lost(device: torch.device) -> bool:
    """Whether an earlier error, such as an invalid memory access, makes every further use of a GPU fail."""
    if device.type != "cuda":
        return False
    try:
        torch.cuda.synchronize(device)
    except RuntimeError:
        return True
    return False


@contextmanager
def on_device(device: torch.device, *, alone: bool) -> Iterator[None]:
    """Use a device together with this user's other runs on this machine or, for comparable timings, alone.

    Waits until the device is available. While a run waits to be alone, no other run can start on the device.
    """
    kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    name = _physical_name(device)
    with _flock(f"{name}-entrance", kind) as entrance, _flock(name, kind):
        if not alone:
            fcntl.flock(entrance, fcntl.LOCK_UN)
        yield


def _physical_name(device: torch.device) -> str:
    """Return a device name that is the same in all processes. On a cluster, every process may call its GPU cuda:0."""
    return str(torch.cuda.get_device_properties(device).uuid) if device.type == "cuda" else str(device)


@contextmanager
def _flock(name: str, kind: int) -> Iterator[int]:
    """Hold a lock on this machine; the system releases it if the process dies."""
    path = Path(tempfile.gettempdir(), f"bmdal-{os.getuid()}-{name}.lock")
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, kind)
        yield file
    finally:
        os.close(file)
