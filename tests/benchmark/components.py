"""Selection methods that go wrong, for tests of what happens then; `imports=[components]` registers them."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from bmdal import register
from bmdal.selection import Selection, SelectionProblem


@register
@dataclass(frozen=True)
class Breaks(Selection):
    """The first points of the pool, but an error as soon as there are more than `n` training points."""

    n: int
    tokens = ("breaks-{n}",)
    modes = ()

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        if len(problem.train) > self.n:
            raise RuntimeError(f"broken at {len(problem.train)} training points")
        return torch.arange(batch_size)


@register
@dataclass(frozen=True)
class Hungry(Selection):
    """The first points of the pool, but its first `n` calls ask for a petabyte."""

    n: int
    tokens = ("hungry-{n}",)
    modes = ()
    calls: ClassVar[list[int]] = []

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        self.calls.append(len(problem.train))
        if len(self.calls) <= self.n:
            torch.empty(2**50, dtype=torch.uint8)
        return torch.arange(batch_size)


@register
@dataclass(frozen=True)
class Deadly(Selection):
    """The first points of the pool, but its first `n` calls, counted on disk, kill their process."""

    n: int
    tokens = ("deadly-{n}",)
    modes = ()

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        calls = Path(os.environ["BMDAL_RUNS"], "deadly")
        n_calls = len(calls.read_text()) if calls.exists() else 0
        calls.write_text("x" * (n_calls + 1))
        if n_calls < self.n:
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.arange(batch_size)


@register
@dataclass(frozen=True)
class Invalid(Selection):
    """Reads memory beyond its own on a GPU."""

    tokens = ("invalid",)
    modes = ()

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        rows = torch.arange(batch_size, device=problem.train.device)
        return rows[rows + 2**40]
