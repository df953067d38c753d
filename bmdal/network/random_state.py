"""Protect the global random generators from networks and data sets that use them."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass
class Draws:
    """Whether random numbers were drawn from a global generator; set when the context is left."""

    made: bool = False


@contextmanager
def own_random_state(device: torch.device) -> Iterator[Draws]:
    """A context that restores the global generators of PyTorch (on the CPU and `device`), NumPy and Python."""
    draws, before = Draws(), _states(device)
    try:
        yield draws
    finally:
        draws.made = any(not _equal(a, b) for a, b in zip(before, _states(device), strict=True))
        on_cpu, of_numpy, of_python, *on_gpu = before
        torch.set_rng_state(on_cpu)
        np.random.set_state(of_numpy)
        random.setstate(of_python)
        for state in on_gpu:
            torch.cuda.set_rng_state(state, device)


def _states(device: torch.device) -> tuple[Any, ...]:
    on_gpu = (torch.cuda.get_rng_state(device),) if device.type == "cuda" else ()
    return torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate(), *on_gpu


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return pickle.dumps(a) == pickle.dumps(b)
