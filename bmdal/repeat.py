"""Repeat the same operations without launching every kernel again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import torch

Result = TypeVar("Result")


class Repeated(Generic[Result]):
    """A step that is computed again and again; on a GPU, its kernels are recorded once and then replayed.

    Launching a kernel takes the CPU about as long as a small kernel takes the GPU. A replay of a CUDA graph is one
    launch. The step must then do the same operations in the same memory each time: it changes tensors in place, never
    replaces them, never looks at a number on the GPU, and counts on the GPU. What it returns is overwritten by the next
    call.

    Args:
        step: what to compute.
        device: where.
        n_first: how often the step runs as usual before it is recorded, at least once, so that libraries can allocate
            memory.
    """

    def __init__(self, step: Callable[[], Result], device: torch.device, n_first: int = 1) -> None:
        self.step, self.device, self.n_first = step, device, n_first
        self.graph: torch.cuda.CUDAGraph | None = None
        self.result: Result

    def __call__(self) -> Result:
        if self.device.type != "cuda" or self.n_first > 0:
            self.n_first -= 1
            return self.step()
        if self.graph is None:
            self._record()
        assert self.graph is not None
        self.graph.replay()
        return self.result

    def _record(self) -> None:
        """As `torch.cuda.graph`, which also returns all unused memory to the driver, to be allocated again."""
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(self.device)
        with torch.cuda.device(self.device), torch.cuda.stream(_stream(self.device)):
            graph.capture_begin(capture_error_mode="thread_local")  # whatever other threads ask of a GPU meanwhile
            try:
                self.result = self.step()
            finally:
                graph.capture_end()
        self.graph = graph


_streams = threading.local()


def _stream(device: torch.device) -> torch.cuda.Stream:
    """This thread's stream for recording on a device; cuBLAS keeps some MiB for each stream that it has ever seen."""
    streams: dict[torch.device, torch.cuda.Stream] = _streams.__dict__.setdefault("of_device", {})
    if device not in streams:
        streams[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return streams[device]
