"""Measure wall-clock time, peak memory, and the peak performance of the machine."""

from __future__ import annotations

import contextlib
import gc
import resource
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch

T = TypeVar("T")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_MEMORY = Path("/proc/meminfo")


@dataclass(frozen=True)
class Measured(Generic[T]):
    """The result of a computation, the median of its wall-clock seconds, and its peak memory in bytes.

    The peak is the largest of all repetitions, in addition to the memory in use before; None if it cannot be measured.
    """

    result: T
    seconds: float
    peak_bytes: int | None


def measure_in_turn(
    computations: dict[str, Callable[[], T]], repeats: int, device: torch.device
) -> dict[str, Measured[T]]:
    """Measure computations alternately, so that all of them run under the same conditions.

    The first repetition is a warm-up and does not count, unless `repeats` is 1.
    """
    seconds: dict[str, list[float]] = {name: [] for name in computations}
    peaks: dict[str, int] = {}
    results: dict[str, T] = {}
    for _ in range(repeats if repeats == 1 else repeats + 1):
        for name, compute in computations.items():
            gc.collect()
            before = _reset_peak(device)
            start = _now(device)
            results[name] = compute()
            seconds[name].append(_now(device) - start)
            after = _peak(device)
            if before is not None and after is not None:
                peaks[name] = max(peaks.get(name, 0), after - before)
    timed = {name: s if repeats == 1 else s[1:] for name, s in seconds.items()}
    return {name: Measured(results[name], statistics.median(timed[name]), peaks.get(name)) for name in computations}


@contextlib.contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Raise TimeoutError after the given seconds, and MemoryError if more memory is requested than is free.

    Works only in the main thread. A call outside Python, such as a matrix product, finishes before the error is raised.
    There is no memory limit if the system does not report free memory.
    """

    def stop(*_: object) -> None:
        raise TimeoutError(f"not within {seconds:g} s")

    taken, free = _kilobytes(_STATUS, "VmSize"), _kilobytes(_MEMORY, "MemAvailable")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, stop)
    try:
        if taken is not None and free is not None:
            limits = [limit for limit in (1024 * (taken + free), soft) if limit != resource.RLIM_INFINITY]
            resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
        signal.setitimer(signal.ITIMER_REAL, seconds, 1)  # again and again: a destructor would swallow the error
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def bandwidth(device: torch.device, gigabytes: float = 0.8) -> float:
    """Measure the bytes per second that a matrix-vector product in float32 reads."""
    A = torch.ones(int(gigabytes * 1e9 / 4 / 512), 512, device=device)
    x = torch.ones(512, device=device)
    return A.numel() * 4 / _best(lambda: A @ x, device)


def matmul_peak(device: torch.device, n: int = 4096) -> float:
    """Measure the floating-point operations per second of a matrix product in float32, without TF32."""
    A = torch.randn(n, n, generator=torch.Generator().manual_seed(0)).to(device)
    return 2 * n**3 / _best(lambda: A @ A, device)


def _best(compute: Callable[[], object], device: torch.device) -> float:
    compute()
    seconds = []
    for _ in range(5):
        start = _now(device)
        compute()
        seconds.append(_now(device) - start)
    return min(seconds)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _reset_peak(device: torch.device) -> int | None:
    """Reset the peak-memory counter and return the memory in use."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    if not _CLEAR_REFS.exists():
        return None
    _CLEAR_REFS.write_text("5")
    return _resident("VmRSS")


def _peak(device: torch.device) -> int | None:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _resident("VmHWM")


def _resident(key: str) -> int | None:
    taken = _kilobytes(_STATUS, key)
    return None if taken is None else taken * 1024


def _kilobytes(path: Path, key: str) -> int | None:
    if not path.exists():
        return None
    line = next(line for line in path.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1])
